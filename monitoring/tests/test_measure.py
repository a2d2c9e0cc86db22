"""Gauges are told as they are, counters as rates; a restart or a reset is a gap and never a spike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub.engines.base import Usage
from hub.engines.fake import FakeEngine
from hub.nodes.reconcile import reconcile
from monitoring.measure import Caps, HostMeter, Reading, WorkloadMeter
from monitoring.sampler import Sampler
from monitoring.spool import Spool
from servers.tests.factories import make_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
USAGE = Usage(epoch="1", at=NOON, cpu_seconds_total=100.0, memory_bytes=200 * 2**20, net_in_bytes_total=1_000_000)
CAPS = Caps(cpu_percent=200, memory_bytes=400 * 2**20, players=3)


def after(seconds: float, **changes: object) -> Usage:
    return replace(USAGE, at=NOON + timedelta(seconds=seconds), **changes)


def read(meter: WorkloadMeter, usage: Usage) -> dict[str, float]:
    return meter.read("server:1", usage.at, usage, CAPS).values


def test_first_look_tells_gauges_and_no_rates():
    values = read(WorkloadMeter(), USAGE)

    assert values == {"memory_bytes": 200 * 2**20, "memory_share": 50.0, "players": 3}


def test_counters_become_rates_of_a_core_and_of_the_limit():
    meter = WorkloadMeter()
    read(meter, USAGE)

    values = read(meter, after(10, cpu_seconds_total=110.0, net_in_bytes_total=1_500_000))

    assert values["cpu_percent"] == pytest.approx(100)
    assert values["cpu_share"] == pytest.approx(50)
    assert values["net_in"] == pytest.approx(50_000)


@pytest.mark.parametrize(
    "then",
    [
        after(10, epoch="2", cpu_seconds_total=5_000.0, net_in_bytes_total=9_000_000),
        after(10, cpu_seconds_total=1.0, net_in_bytes_total=10),
    ],
    ids=["restarted", "reset"],
)
def test_restart_and_reset_make_no_spike(then: Usage):
    meter = WorkloadMeter()
    read(meter, USAGE)

    values = read(meter, then)

    assert "cpu_percent" not in values
    assert "net_in" not in values


def test_host_is_measured_whole():
    meter = HostMeter(Path("/"))
    meter.times = [core._replace(user=core.user - 1, idle=core.idle - 1) for core in meter.times]

    reading = meter.read("node:local", NOON)

    assert 0 < reading.values["cpu_share"] <= 100
    assert len(reading.cores) == len(meter.times)
    assert reading.values["memory_bytes"] > 0
    assert {"disk_share", "load", "pids", "swap_bytes"} <= reading.values.keys()


def test_line_has_a_column_for_everything():
    text = Reading("node:local", NOON, {"load": 1.5}, [1.0, 2.0]).line()

    assert text.split("\t")[0] == "node:local"
    assert text.split("\t")[-2:] == ["1.5", "{1.0,2.0}"]


@pytest.mark.django_db
def test_sampler_measures_the_workloads_that_the_hub_knows(tmp_path: Path):
    server = make_server()
    engine = FakeEngine(node=server.node.name, options={})
    reconcile(type(server), server.pk, engine=engine)

    meter = Sampler(server.node.name, Spool(tmp_path, max_bytes=10**6), engine=engine)
    meter.learn()
    readings = meter.measure()

    assert [reading.subject for reading in readings] == [f"node:{server.node.name}", f"server:{server.pk}"]
    assert readings[1].values["memory_bytes"] == 64 * 2**20
