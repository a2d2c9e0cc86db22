"""Where control groups are found and what is written into them, on trees that look like each kind of machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from hub.engines.control_groups import GroupUsage
from hub.engines.process import cgroups
from hub.engines.process.cgroups import Cgroups, Group, detect

from .harnesses import LIMITS

V1_MOUNTS = """\
30 23 0:26 / {root}/memory rw,nosuid - cgroup cgroup rw,memory
31 23 0:27 / {root}/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
32 23 0:28 / {root}/pids rw,nosuid - cgroup cgroup rw,pids
33 23 0:29 / {root}/systemd rw,nosuid - cgroup cgroup rw,name=systemd
34 23 0:30 / {root}/unified rw,nosuid - cgroup2 cgroup2 rw
"""
V2_MOUNTS = "30 23 0:26 / {root} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


class Machine:
    """A directory that plays /sys/fs/cgroup."""

    def __init__(self, path: Path, mounts: str, own: str) -> None:
        self.root = path / "cgroup"
        self.mountinfo = path / "mountinfo"
        self.mountinfo.write_text(mounts.format(root=self.root))
        self.own = path / "own"
        self.own.write_text(own)
        for line in self.mountinfo.read_text().splitlines():
            Path(line.split()[4]).mkdir(parents=True, exist_ok=True)

    def detect(self, *, is_root: bool = True) -> Cgroups:
        return detect(str(self.mountinfo), str(self.own), is_root)


@pytest.fixture
def v1(tmp_path):
    return Machine(tmp_path, V1_MOUNTS, "5:memory:/a/b\n4:cpu,cpuacct:/a/b\n3:pids:/a/b\n0::/a/b\n")


@pytest.fixture
def v2(tmp_path, monkeypatch):
    """Version 2, with a kernel that hands down what the group above has, and never from a group named `busy`."""
    machine = Machine(tmp_path, V2_MOUNTS, "0::/user.slice/agent\n")

    def handed_down(directory: Path) -> list[str]:
        file = directory / "cgroup.subtree_control"
        return file.read_text().split() if file.exists() else []

    def write(file: Path, value: str) -> None:
        if file.name != "cgroup.subtree_control":
            file.write_text(value)
            return
        controller = value.removeprefix("+")
        if file.parent.name == "busy":
            raise OSError(16, "Device or resource busy")
        if file.parent != machine.root and controller not in handed_down(file.parent.parent):
            raise OSError(2, "No such file or directory")
        file.write_text(" ".join([*handed_down(file.parent), controller]))

    monkeypatch.setattr(cgroups, "write", write)
    return machine


def content(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def test_version_1_is_used_where_it_has_the_controllers(v1):
    found = v1.detect()

    assert found.version == 1
    assert found.parents["memory"] == v1.root / "memory" / "kutanga-hub"
    assert found.parents["cpu"] == found.parents["cpuacct"] == v1.root / "cpu,cpuacct" / "kutanga-hub"
    assert found.parents.keys() == {"memory", "cpu", "cpuacct", "pids"}


def test_version_1_limits_are_written(v1):
    group = v1.detect().group("hub-server-1")

    taken = group.create(replace(LIMITS, cpu_percent=150, swap_mb=16))

    assert taken.keys() == {"memory", "cpu", "cpuacct", "pids"}
    assert content(group.paths["memory"]) == {
        "memory.limit_in_bytes": str(64 * 1024**2),
        "memory.memsw.limit_in_bytes": str(80 * 1024**2),
    }
    assert content(group.paths["cpu"]) == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"}
    assert content(group.paths["pids"]) == {"pids.max": "256"}


def test_version_2_hands_its_controllers_down(v2):
    found = v2.detect()

    assert found.version == 2
    assert found.parents == dict.fromkeys(("memory", "cpu", "pids", "io"), v2.root / "kutanga-hub")
    assert content(v2.root)["cgroup.subtree_control"] == "memory cpu pids io"


def test_version_2_limits_are_written(v2):
    group = v2.detect().group("hub-server-1")

    taken = group.create(replace(LIMITS, cpu_percent=50))

    assert set(taken.values()) == {str(v2.root / "kutanga-hub" / "hub-server-1")}
    assert content(group.paths["memory"]) == {
        "memory.max": str(64 * 1024**2),
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
        "pids.max": "256",
    }


def test_version_2_beside_a_delegated_group_needs_no_root(v2):
    (v2.root / "user.slice" / "agent").mkdir(parents=True)
    (v2.root / "cgroup.subtree_control").write_text("memory pids")

    found = v2.detect(is_root=False)

    assert found.parents == dict.fromkeys(("memory", "pids"), v2.root / "user.slice" / "kutanga-hub")


def test_version_2_that_hands_nothing_down_is_no_help(v2):
    v2.own.write_text("0::/busy\n")
    (v2.root / "busy").mkdir()
    (v2.root / "kutanga-hub").write_text("in the way")

    assert v2.detect(is_root=False).parents == {}


def test_machine_without_control_groups_has_none(tmp_path):
    assert Machine(tmp_path, "", "").detect() == Cgroups()
    assert Cgroups().group("x").create(LIMITS) == {}
    assert detect(str(tmp_path / "missing"), str(tmp_path / "missing")) == Cgroups()


def test_read_only_control_groups_are_no_help(v1):
    for controller in ("memory", "cpu,cpuacct", "pids"):
        (v1.root / controller / "kutanga-hub").write_text("in the way")

    assert v1.detect() == Cgroups()


def test_usage_of_version_2_leaves_the_page_cache_out(tmp_path):
    for file, text in {
        "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\n",
        "memory.current": "5000000\n",
        "memory.stat": "anon 100\ninactive_file 2000000\n",
        "pids.current": "7\n",
        "io.stat": "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=1 rios=1 wios=1\n",
    }.items():
        (tmp_path / file).write_text(text)

    used = Group(2, dict.fromkeys(("memory", "cpu", "pids", "io"), tmp_path)).usage()

    assert used == GroupUsage(cpu_seconds=1.5, memory_bytes=3_000_000, pids=7, read_bytes=105, write_bytes=21)


def test_usage_of_version_1_leaves_the_page_cache_out(tmp_path):
    for file, text in {
        "cpuacct.usage": "1500000000\n",
        "memory.usage_in_bytes": "5000000\n",
        "memory.stat": "cache 1\ntotal_inactive_file 2000000\n",
        "pids.current": "7\n",
        "blkio.throttle.io_service_bytes": "8:0 Read 100\n8:0 Write 20\n8:0 Total 120\n8:16 read 5\nTotal 125\n",
    }.items():
        (tmp_path / file).write_text(text)

    used = Group(1, dict.fromkeys(("memory", "cpuacct", "pids", "blkio"), tmp_path)).usage()

    assert used == GroupUsage(cpu_seconds=1.5, memory_bytes=3_000_000, pids=7, read_bytes=105, write_bytes=20)


def test_usage_of_what_is_gone_is_unknown(tmp_path):
    used = Group(2, dict.fromkeys(("memory", "cpu", "pids", "io"), tmp_path / "gone")).usage()

    assert used == GroupUsage(None, None, None, None, None)


@pytest.mark.parametrize(
    ("version", "file"), [(1, "memory.memsw.limit_in_bytes"), (2, "memory.swap.max")], ids=["v1", "v2"]
)
def test_swap_is_limited_only_where_the_kernel_accounts_it(tmp_path, version, file):
    found = Cgroups(version, {"memory": tmp_path})
    before = cgroups.swap_is_accounted(found)

    (tmp_path / file).touch()

    assert (before, cgroups.swap_is_accounted(found)) == (False, True)
