"""The parts of the Docker engine that need no daemon: names, sentences, rules, times, logs, control groups."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.engines.base import EngineError, Limits, PortBinding, Reason, WorkloadSpec
from hub.engines.docker import DockerEngine, firewall, usage
from hub.engines.docker.console import encode_line
from hub.engines.docker.containers import Account, Image, check, container_config, is_data_path, masked_texts
from hub.engines.docker.errors import from_answer, translate
from hub.engines.docker.firewall import Policy, Ruleset, host_resolvers
from hub.engines.docker.images import Tally
from hub.engines.docker.logs import parse, read_log
from hub.engines.docker.names import Names, is_workload
from hub.engines.docker.observe import ended_with_daemon, exit_code_of, moment
from hub.engines.docker.references import Reference, credentials_for, pin
from hub.engines.docker.usage import Meters, network_bytes
from hub.engines.docker.volumes import Book, give, over_limit

DIGEST = "sha256:" + "a" * 64
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IMAGE = Image(DIGEST, DIGEST, "", ())
NO_POLICY = Policy()


def a_spec(**changes: Any) -> WorkloadSpec:
    values: dict[str, Any] = {
        "kind": "server",
        "id": uuid.UUID(int=7),
        "generation": 1,
        "owner": "tests",
        "command": ("run",),
        "limits": Limits(memory_mb=64, cpu_percent=50, disk_mb=100),
        "image": "game",
        "data_path": "/data",
    }
    return WorkloadSpec(**{**values, **changes})


def config_of(spec: WorkloadSpec, image: Image = IMAGE) -> dict[str, Any]:
    return container_config(spec, image, Account(1000, 1000), network="hub-test", namespace="test", dns=())


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "whole"),
        [
            ("busybox", "docker.io/library/busybox:latest"),
            ("itzg/minecraft-server:java21", "docker.io/itzg/minecraft-server:java21"),
            ("index.docker.io/itzg/x", "docker.io/itzg/x:latest"),
            ("ghcr.io/acme/games/tee:1.2", "ghcr.io/acme/games/tee:1.2"),
            ("localhost/x", "localhost/x:latest"),
            ("127.0.0.1:5000/x:2", "127.0.0.1:5000/x:2"),
            (f"ghcr.io/acme/x:1@{DIGEST}", f"ghcr.io/acme/x@{DIGEST}"),
            (DIGEST, DIGEST),
        ],
    )
    def test_names_are_read_as_docker_reads_them(self, text: str, whole: str):
        assert str(Reference.parse(text)) == whole

    @pytest.mark.parametrize(
        "text",
        ["", "UPPER", "a b", "../x", "x:", "x:ta g", "x@sha256:12", "http://x/y", "-x", "x" * 600, "a//b", "x\n"],
    )
    def test_what_is_no_name_is_refused(self, text: str):
        with pytest.raises(EngineError) as refused:
            Reference.parse(text)

        assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)

    def test_pin_nails_a_name_to_a_digest(self):
        assert pin("ghcr.io/acme/x:1", DIGEST) == f"ghcr.io/acme/x@{DIGEST}"
        assert pin("busybox", "") == "busybox"
        assert pin(DIGEST, DIGEST) == DIGEST

    @pytest.mark.parametrize(
        ("registry", "image", "matches"),
        [
            ("ghcr.io", "ghcr.io/acme/x", True),
            ("ghcr.io/acme", "ghcr.io/acme/x", True),
            ("https://ghcr.io/acme/", "ghcr.io/acme/x", True),
            ("ghcr.io/acme", "ghcr.io/acme-evil/x", False),
            ("ghcr.io/acme", "ghcr.io.example.org/acme/x", False),
            ("ghcr.io/acme/x", "ghcr.io/acme/xy", False),
            ("ghcr.io", "ghcr.io:8443/acme/x", False),
            ("docker.io", "busybox", True),
            ("index.docker.io/itzg", "itzg/minecraft-server", True),
            ("docker.io/itz", "itzg/minecraft-server", False),
        ],
    )
    def test_credentials_match_whole_components(self, registry: str, image: str, matches: bool):
        entry = {"registry": registry, "username": "u", "password": "p"}

        found = credentials_for(Reference.parse(image), [entry])

        assert (found is not None) == matches

    def test_longest_path_of_credentials_wins(self):
        entries = [
            {"registry": "ghcr.io/acme/games", "username": "games", "password": ""},
            {"registry": "ghcr.io", "username": "all", "password": ""},
        ]

        assert credentials_for(Reference.parse("ghcr.io/acme/games/x"), entries)["username"] == "games"
        assert credentials_for(Reference.parse("ghcr.io/acme/x"), entries)["username"] == "all"


class TestErrors:
    PORTS = (
        PortBinding("game", "192.0.2.7", 25565, 25565),
        PortBinding("rcon", "192.0.2.7", 25575, 25575, public=False),
    )

    @pytest.mark.parametrize(
        ("message", "reason", "address"),
        [
            (
                "driver failed on endpoint hub-x (1d5:3): Bind for 192.0.2.7:25565 failed: port is already allocated",
                Reason.ADDRESS_TAKEN,
                ("192.0.2.7", 25565),
            ),
            (
                "Error starting userland proxy: listen tcp4 192.0.2.7:25565: bind: address already in use",
                Reason.ADDRESS_TAKEN,
                ("192.0.2.7", 25565),
            ),
            (
                "driver failed on endpoint x: failed to bind host port 192.0.2.7:25565/udp: address already in use",
                Reason.ADDRESS_TAKEN,
                ("192.0.2.7", 25565),
            ),
            (
                "Error starting userland proxy: listen tcp6 [2001:db8::7]:25565: bind: cannot assign requested address",
                Reason.ADDRESS_MISSING,
                ("2001:db8::7", 25565),
            ),
            (
                "Bind for ::1:25565 failed: port is already allocated",
                Reason.ADDRESS_TAKEN,
                ("::1", 25565),
            ),
            ("something: address already in use", Reason.ADDRESS_TAKEN, ("192.0.2.7", 25565)),
        ],
    )
    def test_bind_errors_name_their_address(self, message: str, reason: Reason, address: tuple[str, int]):
        error = from_answer(500, message, self.PORTS)

        assert (error.reason, error.permanent, (error.ip, error.port)) == (reason, False, address)

    @pytest.mark.parametrize(
        ("status", "message", "reason", "permanent"),
        [
            (404, "No such image: game:latest", Reason.IMAGE_MISSING, False),
            (500, "mkdir /var/lib/docker/overlay2/x: no space left on device", Reason.DISK_FULL, False),
            (400, "invalid mount target", Reason.REFUSED, True),
            (500, "OCI runtime create failed", Reason.INTERNAL, False),
            (409, "Conflict", Reason.INTERNAL, False),
        ],
    )
    def test_other_answers(self, status: int, message: str, reason: Reason, permanent: bool):
        error = from_answer(status, message)

        assert (error.reason, error.permanent) == (reason, permanent)

    @pytest.mark.parametrize(
        ("error", "reason", "words"),
        [
            (OSError(28, "No space left on device", "/var/lib/x"), Reason.DISK_FULL, "full"),
            (PermissionError(13, "Permission denied", "/run/x"), Reason.UNAVAILABLE, "/run/x"),
            (PermissionError(13, "Permission denied"), Reason.UNAVAILABLE, "socket"),
            (ConnectionRefusedError(111, "Connection refused"), Reason.UNAVAILABLE, "does not answer"),
            (TimeoutError("timed out"), Reason.TIMED_OUT, "in time"),
        ],
        ids=str,
    )
    def test_trouble_with_files_is_not_taken_for_trouble_with_docker(self, error: OSError, reason: Reason, words: str):
        told = translate(error)

        assert told.reason is reason
        assert words in str(told)

    def test_long_answers_are_cut(self):
        assert len(str(from_answer(500, "word " * 1000))) < 400


class TestRules:
    NAMES = Names("test")

    def laid(self, version: int = 4, policy: Policy = NO_POLICY, docker: bool = True) -> tuple[Ruleset, list[str]]:
        """A set of rules, and how the firewall lists it once it is laid."""
        ruleset = Ruleset(self.NAMES, version, policy)
        listed = ["-P INPUT ACCEPT", *(["-N DOCKER-USER"] if docker else []), "-A DOCKER-USER -j RETURN"]
        changes = ruleset.changes(listed)
        chains = [f"-N {line[1:].split()[0]}" for line in changes if line.startswith(":")]
        hooks = [line.replace("-I ", "-A ") for line in reversed(changes) if line.startswith("-I ")]
        return ruleset, [*listed[:-1], *chains, *hooks, listed[-1], *(c for c in changes if c.startswith("-A "))]

    @pytest.mark.parametrize("version", [4, 6])
    def test_rules_that_are_laid_are_left_alone(self, version: int):
        ruleset, listed = self.laid(version)

        assert ruleset.is_laid(listed)

    @pytest.mark.parametrize("word", ["-j DROP", "INPUT -i", "DOCKER-USER -i", "DOCKER-USER -o", "--ctdir REPLY"])
    def test_missing_rule_is_noticed(self, word: str):
        ruleset, listed = self.laid()
        listed.remove(next(line for line in listed if word in line and "kutanga-hub" in line))

        assert not ruleset.is_laid(listed)

    @pytest.mark.parametrize("chain", ["INPUT", "DOCKER-USER"])
    def test_rule_before_ours_is_noticed(self, chain: str):
        ruleset, listed = self.laid()

        assert not ruleset.is_laid([f"-A {chain} -j ACCEPT", *listed])

    def test_rules_of_another_hub_may_come_first(self):
        ruleset, listed = self.laid()

        assert ruleset.is_laid(["-A INPUT -i hub99999+ -m comment --comment kutanga-hub:other:1234 -j X", *listed])

    def test_rules_of_another_edition_are_laid_anew(self):
        _, listed = self.laid()
        changed, _ = self.laid(policy=Policy(allowed=["10.1.0.0/16"]))

        assert not changed.is_laid(listed)
        assert sum(line.startswith("-D ") for line in changed.changes(listed)) == 3

    def test_hooks_move_to_dockers_chain_once_it_is_there(self):
        ruleset, listed = self.laid(docker=False)
        assert ruleset.is_laid(listed)

        assert not ruleset.is_laid([*listed, "-N DOCKER-USER"])

    def test_what_the_admin_opens_comes_before_what_is_closed(self):
        ruleset = Ruleset(self.NAMES, 4, Policy(dns=["10.0.0.2", "fd00::2"], allowed=["10.1.0.0/16", "fd00:1::/64"]))

        rules = "\n".join(ruleset.rules)

        assert rules.index("10.0.0.2 -p udp --dport 53") < rules.index("-d 10.0.0.0/8 -j DROP")
        assert rules.index("-d 10.1.0.0/16 -j RETURN") < rules.index("-d 10.0.0.0/8 -j DROP")
        assert "fd00" not in rules

    def test_removal_takes_only_what_is_there(self):
        ruleset, listed = self.laid()

        assert len(ruleset.removal(listed)) == 9
        assert ruleset.removal(["-P INPUT ACCEPT"]) == []

    def test_own_name_servers_are_those_that_a_container_can_reach(self, tmp_path: Path):
        stub, real = tmp_path / "stub", tmp_path / "real"
        stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
        real.write_text("# made by\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\n")

        assert host_resolvers([str(tmp_path / "none"), str(stub), str(real)]) == ["10.0.0.2", "2001:db8::53"]

    def test_options_that_are_no_networks_are_refused(self):
        with pytest.raises(EngineError) as refused:
            firewall.policy_of({"allowed_networks": ["10.0.0.0/33"]})

        assert refused.value.reason is Reason.REFUSED


class TestNames:
    def test_two_hubs_have_different_bridges(self):
        assert Names("one").bridges != Names("two").bridges

    def test_interface_names_fit_into_the_kernels_limit(self):
        names = Names("a" * 40)

        assert len(names.bridge) <= 15
        assert len(names.own_network(a_spec().name)[1]) <= 15

    @pytest.mark.parametrize("namespace", ["", "Ä", "a b", "-a", "a" * 41, "../x", "a;b"])
    def test_odd_namespaces_are_refused(self, namespace: str):
        with pytest.raises(EngineError):
            Names(namespace)

    def test_only_our_form_is_a_workload(self):
        assert is_workload(a_spec().name)
        assert not is_workload(f"{a_spec().name}/../x")


class TestContainer:
    @pytest.mark.parametrize(
        "changes",
        [
            {"image": ""},
            {"limits": Limits(memory_mb=2, cpu_percent=1, disk_mb=1)},
            {"data_path": "/"},
            {"data_path": "/etc/x"},
            {"stop_signal": "TERM; reboot"},
            {"command": ("a\0b",)},
            {"env": {"A=B": "x"}},
        ],
        ids=str,
    )
    def test_what_cannot_be_made_is_refused(self, changes: Mapping[str, Any]):
        with pytest.raises(EngineError) as refused:
            check(a_spec(**changes))

        assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)

    @pytest.mark.parametrize("path", ["/data", "/srv/game.d/world_1", "/home/container"])
    def test_data_may_lie_anywhere_sensible(self, path: str):
        assert is_data_path(path)

    @pytest.mark.parametrize(
        "path", ["data", "/data/", "/a/../b", "/proc", "/usr/games", "//x", "/a b", "/x:y", "/./x"]
    )
    def test_data_may_not_lie_over_the_system(self, path: str):
        assert not is_data_path(path)

    @pytest.mark.parametrize(
        ("image_user", "node_user", "chosen"),
        [
            ("", "1000:1000", "1000:1000"),
            ("root", "1000:1000", "1000:1000"),
            ("0", "1000:1000", "1000:1000"),
            ("00:5", "1000:1000", "1000:1000"),
            ("1234", "1000:1000", "1234:1234"),
            ("1234:99", "1000", "1234:99"),
            ("steam", "2000", "2000:2000"),
        ],
    )
    def test_workload_is_never_root(self, image_user: str, node_user: str, chosen: str):
        assert str(Account.choose(image_user, node_user)) == chosen

    @pytest.mark.parametrize("user", ["root", "0", "-1", "a:b"])
    def test_node_cannot_ask_for_root(self, user: str):
        with pytest.raises(EngineError):
            Account.choose("", user)

    def test_only_public_ports_are_published_on_their_address_over_both_protocols(self):
        ports = (
            PortBinding("game", "192.0.2.7", 25570, 25565),
            PortBinding("rcon", "192.0.2.7", 25575, 25575, public=False),
        )

        published = config_of(a_spec(ports=ports))["HostConfig"]["PortBindings"]

        address = [{"HostIp": "192.0.2.7", "HostPort": "25570"}]
        assert published == {"25565/tcp": address, "25565/udp": address}

    def test_volume_of_the_image_becomes_memory_unless_it_is_the_data(self):
        image = Image(DIGEST, DIGEST, "", ("/data", "/cache"))

        assert sorted(config_of(a_spec(), image)["HostConfig"]["Tmpfs"]) == ["/cache", "/tmp"]

    def test_same_wish_has_the_same_fingerprint_whatever_the_generation(self):
        first, later = config_of(a_spec()), config_of(a_spec(generation=9, expires_at=NOON))

        assert first["Labels"]["kutanga.config"] == later["Labels"]["kutanga.config"]

    @pytest.mark.parametrize("change", [{"env": {"A": "1"}}, {"command": ("other",)}, {"stop_signal": "SIGINT"}])
    def test_another_wish_has_another_fingerprint(self, change: Mapping[str, Any]):
        first, other = config_of(a_spec()), config_of(replace(a_spec(), **change))

        assert first["Labels"]["kutanga.config"] != other["Labels"]["kutanga.config"]

    def test_secrets_are_found_again_longest_first(self):
        config = config_of(a_spec(secrets=("abc", "", "abcdef"), env={"A": "abc", "B": "is abcdef"}))

        assert masked_texts({"Config": config}) == ["abcdef", "abc"]
        assert masked_texts({"Config": config}, ["abcde"]) == ["abcdef", "abcde", "abc"]
        assert masked_texts({"Config": config_of(a_spec())}) == []

    def test_variables_tell_no_secret_that_the_program_does_not_have(self):
        config = config_of(a_spec(secrets=("of a file", "own"), env={"A": "own"}))

        assert "of a file" not in str(config)

    def test_docker_waits_longer_than_the_hub_before_it_kills(self):
        assert config_of(a_spec(stop_grace_seconds=90))["StopTimeout"] > 90


class TestObservation:
    @pytest.mark.parametrize(
        ("code", "told"), [(0, 0), (3, 3), (128, 128), (137, -9), (143, -15), (153, -25), (255, 255)]
    )
    def test_end_by_signal_is_told_as_a_negative_number(self, code: int, told: int):
        assert exit_code_of(code) == told

    @pytest.mark.parametrize(
        ("started", "finished", "explained"),
        [
            (-60, -30, True),  # stopped with the daemon before
            (-60, 0, True),  # found dead by the new one
            (-60, None, True),
            (5, 30, False),  # lived under this daemon alone
            (-60, 300, False),  # ran through, with live-restore
        ],
    )
    def test_exit_is_the_daemons_when_no_daemon_lived_to_see_it(
        self, started: int, finished: int | None, explained: bool
    ):
        began = NOON + timedelta(seconds=started)
        ended = None if finished is None else NOON + timedelta(seconds=finished)

        assert ended_with_daemon(began, ended, NOON) == explained

    def test_daemon_of_unknown_age_explains_nothing(self):
        assert not ended_with_daemon(NOON, NOON, None)
        assert not ended_with_daemon(None, None, NOON)

    def test_dockers_times(self):
        assert moment("2026-01-01T12:00:00.123456789Z") == NOON + timedelta(microseconds=123456)
        assert moment("2026-01-01T14:00:00+02:00") == NOON
        assert moment("0001-01-01T00:00:00Z") is None
        assert moment("") is None


class TestLogs:
    @staticmethod
    def frame(second: int, text: str, stream: int = 1) -> bytes:
        data = f"2026-01-01T12:00:{second:02d}.000000000Z {text}".encode()
        return struct.pack(">BxxxL", stream, len(data)) + data

    def read(self, *frames: bytes, **changes: Any) -> Any:
        data = b"".join(frames)

        class Daemon:
            def get_bytes(self, path: str, **query: Any) -> bytes:
                return data

        return read_log(Daemon(), "id", **{"tail": 200, "cursor": "", "secrets": [], **changes})

    def test_long_line_in_several_frames_is_one(self):
        frames = self.frame(1, "aaa") + self.frame(1, "other\n", stream=2) + self.frame(1, "bbb\n")

        assert [line.text for line in parse(frames)] == ["other", "aaabbb"]

    def test_last_line_without_an_end_is_told(self):
        assert [line.text for line in parse(self.frame(1, "prompt> "))] == ["prompt> "]

    def test_what_was_cut_off_is_no_line(self):
        assert list(parse(self.frame(1, "a\n") + b"\x01\x00")) != []

    def test_cursor_leads_to_what_follows(self):
        frames = [self.frame(second, f"line {second}\n") for second in range(5)]
        cursor = self.read(*frames[:3]).cursor

        chunk = self.read(*frames, cursor=cursor)

        assert (list(chunk.lines), chunk.truncated) == (["line 3", "line 4"], False)
        assert self.read(*frames, cursor=chunk.cursor).lines == ()

    def test_line_at_the_cursor_that_is_gone_is_told(self):
        chunk = self.read(self.frame(7, "later\n"), cursor="2026-01-01T12:00:03.000000000Z")

        assert (list(chunk.lines), chunk.truncated) == (["later"], True)

    def test_line_larger_than_a_chunk_does_not_block_the_cursor(self):
        frames = [self.frame(1, "a\n"), self.frame(2, "x" * 70_000 + "\n"), self.frame(3, "b\n")]
        cursor = "2026-01-01T12:00:01.000000000Z"

        chunk = self.read(*frames, cursor=cursor)

        assert [len(line) for line in chunk.lines] == [70_000]
        assert list(self.read(*frames, cursor=chunk.cursor).lines) == ["b"]

    def test_secrets_are_hidden(self):
        assert list(self.read(self.frame(1, "pw=abcdef.\n"), secrets=["abcdef", "abc"]).lines) == ["pw=***."]

    def test_odd_cursor_is_the_end_of_the_log(self):
        assert list(self.read(self.frame(1, "a\n"), cursor="'; --").lines) == ["a"]


class TestConsole:
    @pytest.mark.parametrize("line", ["a\nb", "a\rb", "a\0b", "x" * 5000])
    def test_odd_lines_are_refused(self, line: str):
        with pytest.raises(EngineError) as refused:
            encode_line(line)

        assert refused.value.reason is Reason.REFUSED

    def test_line_ends_once(self):
        assert encode_line("say hällo\r\n") == "say hällo\n".encode()


class TestProgress:
    def test_percent_never_goes_back_when_layers_appear(self):
        tally = Tally()
        percents = []
        for layer, current in (("a", 50), ("a", 100), ("b", 1), ("b", 100)):
            detail = {"current": current, "total": 100}
            tally.add({"id": layer, "status": "Downloading", "progressDetail": detail})
            percents.append(tally.progress().percent)

        assert percents == sorted(percents)
        assert percents[-1] == 70

    def test_percent_is_unknown_at_first(self):
        tally = Tally()
        tally.add({"status": "Pulling from library/x", "id": "latest"})

        assert tally.progress().percent is None
        assert "Pulling" in tally.progress().message


class TestUsageFiles:
    """Trees as the kernel shows them, of both versions and both ways Docker names its groups."""

    def make(self, root: Path, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    @pytest.mark.parametrize("layout", usage.LAYOUTS)
    def test_version_2(self, tmp_path: Path, layout: str):
        place = layout.format(id="abc")
        files = {
            "memory.current": "5000000\n",
            "memory.stat": "anon 1\ninactive_file 2000000\n",
            "memory.max": "67108864\n",
            "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "pids.current": "3\n",
            "io.stat": "8:0 rbytes=100 wbytes=200 rios=1\n254:0 rbytes=1 wbytes=2\n",
            "cgroup.procs": "0\n",
        }
        self.make(tmp_path, {"cgroup.controllers": "cpu memory", **{f"{place}/{k}": v for k, v in files.items()}})

        used = Meters(tmp_path).read("abc", epoch="1", disk_bytes=7)

        assert used is not None
        assert (used.memory_bytes, used.memory_limit_bytes, used.cpu_seconds_total) == (3_000_000, 67_108_864, 2.5)
        assert (used.pids, used.disk_bytes, used.net_in_bytes_total) == (3, 7, None)
        assert (used.block_read_bytes_total, used.block_write_bytes_total) == (101, 202)

    @pytest.mark.parametrize("layout", usage.LAYOUTS)
    def test_version_1(self, tmp_path: Path, layout: str):
        place = layout.format(id="abc")
        self.make(
            tmp_path,
            {
                f"memory/{place}/memory.usage_in_bytes": "5000000\n",
                f"memory/{place}/memory.stat": "inactive_file 1\ntotal_inactive_file 2000000\n",
                f"memory/{place}/memory.limit_in_bytes": "9223372036854771712\n",
                f"cpuacct/{place}/cpuacct.usage": "2500000000\n",
                f"pids/{place}/pids.current": "3\n",
                f"blkio/{place}/blkio.throttle.io_service_bytes": "8:0 Read 100\n8:0 Write 200\nTotal 300\n",
            },
        )

        used = Meters(tmp_path).read("abc", epoch="1", disk_bytes=None)

        assert used is not None
        assert (used.memory_bytes, used.memory_limit_bytes, used.cpu_seconds_total) == (3_000_000, None, 2.5)
        assert (used.pids, used.block_read_bytes_total, used.block_write_bytes_total) == (3, 100, 200)

    def test_group_in_another_place_is_found_by_a_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(usage, "PROC", tmp_path / "proc")
        self.make(tmp_path, {"proc/42/cgroup": "0::/games.slice/abc\n", "cgroup.controllers": ""})
        self.make(tmp_path, {"games.slice/abc/memory.current": "1\n"})
        meters = Meters(tmp_path)

        meters.learn_place("abc", 42)

        assert meters.read("abc", epoch="1", disk_bytes=None) is not None

    def test_container_that_has_gone_has_no_usage(self, tmp_path: Path):
        assert Meters(tmp_path).read("abc", epoch="1", disk_bytes=None) is None

    def test_network_leaves_loopback_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(usage, "PROC", tmp_path)
        head = "Inter-|   Receive |  Transmit\n face |bytes packets|bytes\n"
        counters = " 1 0 0 0 0 0 0 "
        text = f"{head}    lo: 900{counters}900{counters}\n  eth0:100{counters}20{counters}\n"
        self.make(tmp_path, {"42/net/dev": text})

        assert network_bytes(42) == (100, 20)
        assert network_bytes(None) == (None, None)


class TestData:
    def test_counts_are_remembered(self, tmp_path: Path):
        book = Book(tmp_path / "state" / "test.json")

        book.write({"hub-a": (5, 1.5)})

        assert book.read() == {"hub-a": (5, 1.5)}

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": ["x", 1]}'])
    def test_broken_counts_are_none(self, tmp_path: Path, text: str):
        book = Book(tmp_path / "test.json")
        book.path.write_text(text)

        assert book.read() == {}

    def test_only_what_is_too_much_is_told(self):
        counts = {"hub-a": (20 * 1024**2, 0.0)}

        assert over_limit(counts, "hub-a", 20) == ""
        assert "20 MB; the limit is 19 MB" in over_limit(counts, "hub-a", 19)
        assert over_limit(counts, "hub-b", 1) == ""

    def test_giving_follows_no_link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        outside, volume = tmp_path / "outside", tmp_path / "volume"
        outside.mkdir()
        volume.mkdir()
        (volume / "link").symlink_to(outside)
        given = []
        monkeypatch.setattr("os.chown", lambda path, *_, follow_symlinks: given.append((str(path), follow_symlinks)))
        monkeypatch.setattr(Path, "stat", lambda self: type("Facts", (), {"st_uid": 0}))

        give(volume, 1000, 1000)

        assert given == [(str(volume / "link"), False), (str(volume), False)]


def test_engine_works_on_its_own_node_only():
    with pytest.raises(EngineError) as refused:
        DockerEngine(node="n1", options={"socket": "tcp://203.0.113.7:2375"})

    assert refused.value.reason is Reason.REFUSED
