"""Firewall rules around our bridges: what workloads may reach, and who may reach them.

One chain each for traffic from workloads to this machine itself, from workloads to elsewhere, and to workloads. They
hang at the very top of INPUT and of DOCKER-USER, which Docker keeps for its users and leaves alone (of FORWARD, where
Docker has none). All our bridges begin with the same letters, so the rules are the same however many there are.

From workloads: answers to whoever came in over a published port; name servers on port 53; what the node's admin
opened; the public internet. Nothing on this machine, on other workloads, in private networks, or at metadata services.
From workloads whose bridge is a closed one: answers alone.
To workloads: from this machine (the agent), and from elsewhere over published ports only; even where the machine
would route.

Each rule carries a comment with the namespace and a digest of the whole set, so a look at the list tells whether all is
in place. Laying is one transaction per family: there is no moment without rules.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import ipaddress
import logging
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import EngineError
from .errors import refusal, sentence, unavailable
from .names import Names

logger = logging.getLogger(__name__)

COMMENT = "kutanga-hub"
PROGRAM_SECONDS = 20
LOCK_SECONDS = "5"
DOCKER_CHAIN = "DOCKER-USER"
RESOLVER_FILES = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
CLOSED_4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",  # carriers' shared addresses
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local: metadata services
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
CLOSED_6 = (
    "2001::/32",  # Teredo and 6to4 carry IPv4 addresses, private ones too
    "2002::/16",
    "2001:db8::/32",
)
PUBLIC_6 = "2000::/3"
NEIGHBOUR_TYPES = ("neighbour-solicitation", "neighbour-advertisement")


@dataclass(frozen=True)
class Policy:
    """What a node's options open: name servers, and networks that workloads may reach although they are private."""

    dns: Sequence[str] = ()
    allowed: Sequence[str] = ()

    def of_family(self, version: int) -> Policy:
        return Policy(*([text for text in texts if _version_of(text) == version] for texts in (self.dns, self.allowed)))


@dataclass(frozen=True)
class Family:
    """The programs of one IP version; `suffix` names the kernel interface that Docker itself uses (nft or legacy)."""

    version: int
    suffix: str = ""

    @property
    def program(self) -> str:
        return f"{'iptables' if self.version == 4 else 'ip6tables'}{self.suffix}"

    def list_rules(self) -> list[str]:
        """All rules of the filter table."""
        return _run([self.program, "-w", LOCK_SECONDS, "-S"]).splitlines()

    def apply(self, lines: Sequence[str]) -> None:
        """Change the filter table in one transaction."""
        text = "\n".join(["*filter", *lines, "COMMIT", ""])
        _run([f"{self.program}-restore", "-w", LOCK_SECONDS, "--noflush"], text)


@dataclass(frozen=True)
class Ruleset:
    """The rules of one namespace in one family."""

    names: Names
    version: int
    policy: Policy

    @property
    def chains(self) -> tuple[str, str, str]:
        tag = self.names.tag.upper()
        return f"HUB-{tag}-HOST", f"HUB-{tag}-FROM", f"HUB-{tag}-TO"

    @functools.cached_property
    def rules(self) -> list[str]:
        """The content of our chains, without comments."""
        host, leaving, arriving = self.chains
        answers = "-m conntrack --ctstate ESTABLISHED,RELATED --ctdir REPLY -j RETURN"
        policy = self.policy.of_family(self.version)
        rules = [f"-A {host} {answers}"]
        if self.version == 6:
            rules += [f"-A {host} -p icmpv6 -m icmp6 --icmpv6-type {kind} -j RETURN" for kind in NEIGHBOUR_TYPES]
        rules += [f"-A {host} -j DROP"]
        rules += [f"-A {leaving} {answers}", f"-A {leaving} -o {self.names.bridges}+ -j DROP"]
        rules += [f"-A {leaving} -i {self.names.closed_bridges}+ -j DROP"]
        for server in policy.dns:
            rules += [f"-A {leaving} -d {server} -p {kind} --dport 53 -j RETURN" for kind in ("udp", "tcp")]
        rules += [f"-A {leaving} -d {network} -j RETURN" for network in policy.allowed]
        rules += [f"-A {leaving} -d {network} -j DROP" for network in (CLOSED_4 if self.version == 4 else CLOSED_6)]
        if self.version == 6:
            rules += [f"-A {leaving} -d {PUBLIC_6} -j RETURN", f"-A {leaving} -j DROP"]
        return [
            *rules,
            f"-A {arriving} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
            f"-A {arriving} -m conntrack --ctstate DNAT -j RETURN",
            f"-A {arriving} -j DROP",
        ]

    def hooks(self, forward: str) -> list[str]:
        """What sends packets to our chains; `forward` is the chain that forwarded packets pass."""
        host, leaving, arriving = self.chains
        ours = f"{self.names.bridges}+"
        return [f"INPUT -i {ours} -j {host}", f"{forward} -i {ours} -j {leaving}", f"{forward} -o {ours} -j {arriving}"]

    def is_laid(self, listed: Sequence[str]) -> bool:
        """Whether every rule is there, nothing of an older set is, and nobody's rule comes before our hooks."""
        mark, forward = f"{COMMENT}:{self.names.namespace}:", forward_chain(listed)
        ours = [line for line in listed if mark in line and line.startswith("-A ")]
        expected = [*(rule.split()[1] for rule in self.rules), *(hook.split()[0] for hook in self.hooks(forward))]
        return (
            sorted(line.split()[1] for line in ours) == sorted(expected)
            and all(f"{mark}{self.digest}" in line for line in ours)
            and all(_hooks_come_first(listed, chain, mark) for chain in ("INPUT", forward))
        )

    def changes(self, listed: Sequence[str]) -> list[str]:
        """The transaction that lays everything: chains filled anew, old hooks away, new ones on top."""
        lines = [f":{chain} - [0:0]" for chain in self.chains]
        lines += [self._commented(rule) for rule in self.rules]
        lines += self._unhook(listed)
        return lines + [self._commented(f"-I {hook}") for hook in reversed(self.hooks(forward_chain(listed)))]

    def removal(self, listed: Sequence[str]) -> list[str]:
        """The transaction that takes everything away."""
        present = [chain for chain in self.chains if f"-N {chain}" in listed]
        return [*self._unhook(listed), *(f"-F {chain}" for chain in present), *(f"-X {chain}" for chain in present)]

    @functools.cached_property
    def digest(self) -> str:
        return hashlib.sha256("\n".join([*self.rules, *self.hooks("")]).encode()).hexdigest()[:8]

    def _commented(self, rule: str) -> str:
        head, _, target = rule.rpartition(" -j ")
        return f"{head} -m comment --comment {COMMENT}:{self.names.namespace}:{self.digest} -j {target}"

    def _unhook(self, listed: Sequence[str]) -> list[str]:
        """Delete whatever jumps to our chains, from anywhere else."""
        jumps = tuple(f" -j {chain}" for chain in self.chains)
        return [f"-D{line[2:]}" for line in listed if line.startswith("-A ") and line.endswith(jumps)]


class Firewall:
    """The rules of one namespace on this machine."""

    def __init__(self, names: Names, policy: Policy, state_dir: Path) -> None:
        self.rulesets = [Ruleset(names, version, policy) for version in _versions()]
        self.lock_path = state_dir / "firewall.lock"

    def lay(self) -> bool:
        """Lay what is missing; False when all of it was there. Raises UNAVAILABLE when it cannot be laid."""
        if self._is_laid():
            return False
        with self._locked():
            for ruleset in self.rulesets:
                _lay(ruleset, Family(ruleset.version, _suffix()))
        return True

    def remove(self) -> None:
        """Take our rules away."""
        with self._locked():
            for ruleset in self.rulesets:
                family = Family(ruleset.version, _suffix())
                if lines := ruleset.removal(family.list_rules()):
                    family.apply(lines)

    def _is_laid(self) -> bool:
        return all(ruleset.is_laid(Family(ruleset.version, _suffix()).list_rules()) for ruleset in self.rulesets)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of the agent from laying the same: a list is not read in one piece, so they would undo
        each other's work for ever.
        """
        self.lock_path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        deadline = time.monotonic() + PROGRAM_SECONDS
        with self.lock_path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise unavailable("Another process does not let go of this node's firewall.") from None
                    time.sleep(0.02)
            yield


def _lay(ruleset: Ruleset, family: Family) -> None:
    """Lay one set. Somebody else may have changed the list that it was reckoned from: then look again."""
    for is_last in (False, False, True):
        if ruleset.is_laid(listed := family.list_rules()):
            return
        try:
            family.apply(ruleset.changes(listed))
        except EngineError:
            if is_last:
                raise
    if not ruleset.is_laid(family.list_rules()):
        raise unavailable("This node's firewall does not keep the hub's rules.")


def forward_chain(listed: Sequence[str]) -> str:
    """Where forwarded packets pass before anything else decides."""
    return DOCKER_CHAIN if f"-N {DOCKER_CHAIN}" in listed else "FORWARD"


def policy_of(options: Mapping[str, Any]) -> Policy:
    """Read the options `dns` and `allowed_networks`; without the first, the machine's own name servers are open."""
    try:
        dns = [str(ipaddress.ip_address(text)) for text in options.get("dns") or host_resolvers()]
        allowed = [str(ipaddress.ip_network(text)) for text in options.get("allowed_networks", ())]
    except ValueError as error:
        raise refusal(f"This node's network options are not valid: {error}.") from None
    return Policy(dns, allowed)


def host_resolvers(files: Sequence[str] = RESOLVER_FILES) -> list[str]:
    """The name servers that Docker gives containers by default: the machine's own, without those on its loopback."""
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        words = [line.split() for line in lines]
        found = [pair[1] for pair in words if len(pair) == 2 and pair[0] == "nameserver"]
        if servers := [server for server in found if _is_remote(server)]:
            return servers
    return []


def _is_remote(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or (address.is_link_local and address.version == 6))


def _hooks_come_first(listed: Sequence[str], chain: str, mark: str) -> bool:
    """Whether only rules of hubs stand before the last of our hooks in a chain."""
    rules = [line for line in listed if line.startswith(f"-A {chain} ")]
    last = max((place for place, line in enumerate(rules) if mark in line), default=-1)
    return all(f"{COMMENT}:" in line for line in rules[: last + 1])


def _version_of(text: str) -> int:
    return ipaddress.ip_network(text).version


@functools.cache
def _versions() -> tuple[int, ...]:
    return (4, 6) if Path("/proc/net/if_inet6").exists() else (4,)


def _suffix() -> str:
    """Which programs speak to the kernel the way Docker does: those that see its chain."""
    if _suffix_found:
        return _suffix_found[0]
    for suffix in ("", "-nft", "-legacy"):
        program = f"iptables{suffix}"
        if shutil.which(program):
            seen = subprocess.run([program, "-w", LOCK_SECONDS, "-S", DOCKER_CHAIN], capture_output=True, check=False)
            if seen.returncode == 0:
                _suffix_found.append(suffix)
                return suffix
    return ""


_suffix_found: list[str] = []


def _run(command: Sequence[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    except FileNotFoundError:
        raise unavailable(f"{command[0]} is not installed beside the agent.") from None
    except subprocess.TimeoutExpired:
        raise unavailable(f"{command[0]} did not finish.") from None
    if done.returncode:
        logger.warning("%s failed: %s", command[0], done.stderr.strip())
        raise unavailable(f"The node's firewall could not be changed: {sentence(done.stderr)}")
    return done.stdout
