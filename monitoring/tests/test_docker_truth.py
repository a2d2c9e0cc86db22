"""What is measured of real containers is what the kernel's own counters say, which are read here another way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.engines.base import Limits, WorkloadSpec
from hub.tests.docker_helpers import Lab
from monitoring.measure import Caps, Reading
from monitoring.sampler import Sampler
from monitoring.spool import Spool

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path("/sys/fs/cgroup")
MIB = 2**20
BURN = "echo ready; while :; do :; done"
HOLD = "(head -c 209715200 /dev/zero; sleep 3; echo; echo ready >&2; sleep 300) | tail -n 9"
FIVE_PERCENT = 0.05


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture
def sampler(lab: Lab, tmp_path: Path) -> Sampler:
    return Sampler("local", Spool(tmp_path, max_bytes=MIB), engine=lab.engine)


@dataclass(frozen=True)
class Group:
    """A container's control group, found by its first process, whichever version the machine has."""

    pid: int

    def cpu_seconds(self) -> float:
        if (ROOT / "cgroup.controllers").exists():
            return self._line("", "cpu.stat", "usage_usec") / 1e6
        return float((self._folder("cpuacct") / "cpuacct.usage").read_text()) / 1e9

    def anonymous_bytes(self) -> float:
        """What its processes have written to, without any cache."""
        if (ROOT / "cgroup.controllers").exists():
            return self._line("", "memory.stat", "anon")
        return self._line("memory", "memory.stat", "total_rss")

    def _line(self, controller: str, file: str, name: str) -> float:
        lines = (self._folder(controller) / file).read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.split()[0] == name)

    def _folder(self, controller: str) -> Path:
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controller in controllers.split(","):
                return ROOT / controllers / place.lstrip("/")
        raise LookupError(f"process {self.pid} is in no group of {controller or 'version 2'}")


def start(lab: Lab, sampler: Sampler, script: str, **limits: Any) -> tuple[WorkloadSpec, Group]:
    spec = lab.script(script, limits=Limits(memory_mb=512, disk_mb=64, **limits))
    lab.engine.ensure(spec)
    lab.wait_for_line(spec.name, "ready")
    sampler.caps[spec.name] = (f"server:{spec.id}", Caps(cpu_percent=100, memory_bytes=400 * MIB))
    return spec, Group(int(lab.container(spec)["State"]["Pid"]))


def measured(sampler: Sampler, spec: WorkloadSpec) -> dict[str, float]:
    readings: dict[str, Reading] = {reading.subject: reading for reading in sampler.measure()}
    return readings[f"server:{spec.id}"].values


def test_container_that_burns_a_core(lab: Lab, sampler: Sampler):
    spec, group = start(lab, sampler, BURN, cpu_percent=100)
    looks = [(group.cpu_seconds(), time.monotonic())]
    sampler.measure()
    looks.append((group.cpu_seconds(), time.monotonic()))
    time.sleep(4)
    looks.append((group.cpu_seconds(), time.monotonic()))

    values = measured(sampler, spec)
    looks.append((group.cpu_seconds(), time.monotonic()))

    # The sampler looked between the first two and between the last two, however long that took.
    (before, begun), (early, looked), (late, asked), (after, over) = looks
    least, most = 100 * (late - early) / (over - begun), 100 * (after - before) / (asked - looked)
    assert least > 5
    assert least * (1 - FIVE_PERCENT) < values["cpu_percent"] < most * (1 + FIVE_PERCENT)
    assert values["cpu_share"] == pytest.approx(values["cpu_percent"])


def test_container_that_holds_200_mib(lab: Lab, sampler: Sampler):
    spec, group = start(lab, sampler, HOLD, cpu_percent=100)

    values = measured(sampler, spec)

    assert values["memory_bytes"] == pytest.approx(group.anonymous_bytes(), rel=FIVE_PERCENT)
    assert values["memory_bytes"] == pytest.approx(200 * MIB, rel=FIVE_PERCENT)
    assert values["memory_share"] == pytest.approx(50, rel=FIVE_PERCENT)


def test_restarted_container_makes_a_gap_and_no_spike(lab: Lab, sampler: Sampler):
    spec, _ = start(lab, sampler, BURN, cpu_percent=100)
    sampler.measure()
    time.sleep(1)
    steady = measured(sampler, spec)
    used = lab.usage(spec).cpu_seconds_total

    lab.engine.kill(spec.name)
    lab.wait_for_exit(spec.name)
    lab.engine.ensure(replace(spec, generation=2))
    again = datetime.now(UTC)
    gap = measured(sampler, spec)
    time.sleep(1)
    after = measured(sampler, spec)

    assert lab.usage(spec).at > again
    assert used is not None
    assert {"cpu_percent", "net_in", "block_read"} & steady.keys()
    assert not {"cpu_percent", "cpu_share", "net_in", "net_out", "block_read", "block_write"} & gap.keys()
    assert 0 <= after["cpu_percent"] < 200
