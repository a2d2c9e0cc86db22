"""Load-balancer addresses on this machine: a dummy interface carries those that no other interface has.

Linux answers for an address of any of its interfaces on all of them, so other machines of the same network reach
addresses of that network which lie there.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import subprocess
from collections.abc import Sequence

import psutil

from ..base import EngineError
from .errors import sentence, unavailable

PROGRAM_SECONDS = 20
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def hold(device: str, ips: Sequence[str]) -> None:
    """Have the interface carry exactly these, but for those that another interface has; without any it goes."""
    carried = {name: _plain(addresses) for name, addresses in psutil.net_if_addrs().items()}
    here = carried.pop(device, set())
    elsewhere = {ip for addresses in carried.values() for ip in addresses}
    wanted = {str(ipaddress.ip_address(ip)) for ip in ips} - elsewhere
    wanted = {ip for ip in wanted if not ipaddress.ip_address(ip).is_loopback}
    exists = device in psutil.net_if_stats()
    if not wanted:
        if exists:
            _ip("link", "delete", device)
        return
    if not exists:
        _make(device)
    for ip in sorted(here - wanted):
        _ip("address", "delete", f"{ip}/{_bits(ip)}", "dev", device)
    for ip in sorted(wanted - here):
        _ip("address", "add", f"{ip}/{_bits(ip)}", "dev", device, *(["nodad"] if ":" in ip else []))


def _make(device: str) -> None:
    """A dummy; on kernels that know none a bridge without ports, which is as much of an interface of nobody."""
    for kind, is_last in (("dummy", False), ("bridge", True)):
        try:
            _ip("link", "add", device, "type", kind)
            break
        except EngineError:
            if is_last:
                raise
    _ip("link", "set", device, "up")


def _plain(addresses: Sequence[psutil._common.snicaddr]) -> set[str]:
    return {one.address for one in addresses if one.family in FAMILIES and "%" not in one.address}


def _bits(ip: str) -> int:
    return 128 if ":" in ip else 32


def _ip(*words: str) -> None:
    program = shutil.which("ip")
    if program is None:
        raise unavailable("The program ip is not installed beside the agent, so it cannot add addresses.")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    if done.returncode and "File exists" not in done.stderr and "Cannot assign" not in done.stderr:
        raise unavailable(f"This node's addresses could not be changed: {sentence(done.stderr)}")
