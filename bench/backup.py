"""Backups of a server of this run's own: what a base backup takes, how much a killed server loses, how soon it is back.

Two million minutes of samples stand for a hub's data; `HUB_BENCH_SAMPLES` makes it fewer. A writer goes on until the
server is killed and its data directory deleted; what the recovered one lacks of that is the loss (RPO), and the time
from then to the first answer is the return (RTO), with every file compared with its sum on the way.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import psycopg

from hub.backups import base, recovery
from hub.tests.backup_world import World, backup_world

from .harness import Figure, benchmark

ROWS = min(2_000_000, int(os.environ.get("HUB_BENCH_SAMPLES", "2000000")))
WRITING_SECONDS = 5.0
RPO_SECONDS, RTO_SECONDS = 60.0, 300.0
MIB = 1024**2
START = "2026-01-01"
SCHEMA = """
    CREATE TABLE minutes (
        series int, at timestamptz, low float, mean float, high float, n int, PRIMARY KEY (series, at)
    );
    CREATE TABLE ticks (at timestamptz DEFAULT clock_timestamp());
"""
FILL = """
    INSERT INTO minutes SELECT mod(number, 230), %s::timestamptz + number / 230 * interval '1 minute',
        random(), random(), random(), 6 FROM generate_series(1, %s) number
"""


@benchmark
def backup_and_recovery() -> Iterator[Figure]:
    """Back up, kill, delete, recover, and compare."""
    with backup_world() as world:
        for statement in SCHEMA.split(";"):
            if statement.strip():
                world.sql(statement)
        world.sql(FILL, START, ROWS)
        world.sql("VACUUM FREEZE minutes")  # else the first reader touches every page once
        full, seconds = _timed("full")
        yield Figure(f"full base backup of {full.size_bytes // MIB} MiB, checked", seconds, "s", RTO_SECONDS)
        world.sql(
            "UPDATE minutes SET mean = 0 WHERE at < %s::timestamptz + %s * interval '1 minute'",
            START,
            ROWS // 230 // 50,
        )
        change, seconds = _timed("incremental")
        yield Figure("incremental one after 2 % of the rows changed, checked", seconds, "s", RTO_SECONDS)
        yield Figure(
            "its size", change.size_bytes / MIB, "MiB", 0.5, raw=full.size_bytes / MIB, raw_name="the full one"
        )
        died = _write_until_killed(world)
        lost, back = _bring_back(world, died)
        yield Figure("killed under writes and deleted: what is lost (RPO)", lost, "s", RPO_SECONDS)
        yield Figure("killed under writes and deleted: until it answers again (RTO)", back, "s", RTO_SECONDS)


def _timed(kind: base.Kind) -> tuple[base.Base, float]:
    begin = time.perf_counter()
    return base.create_base(kind), time.perf_counter() - begin


def _write_until_killed(world: World) -> datetime:
    """Commit as fast as it goes; returns the time of the last commit that was confirmed."""
    confirmed: list[datetime] = []

    def write() -> None:
        try:
            with psycopg.connect(world.embedded.database_url, autocommit=True) as connection:
                while True:
                    row = connection.execute("INSERT INTO ticks DEFAULT VALUES RETURNING at").fetchone()
                    confirmed.append(row[0] if row else confirmed[-1])
        except psycopg.OperationalError:
            return

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(WRITING_SECONDS)
    world.stop(signal.SIGQUIT)
    world.stop_receiver(signal.SIGKILL)
    writer.join()
    shutil.rmtree(world.embedded.cluster)
    return confirmed[-1]


def _bring_back(world: World, died: datetime) -> tuple[float, float]:
    """Recover into the place of the deleted server; seconds that are lost, and that it took."""
    begin = time.perf_counter()
    new = world.embedded.cluster.with_name("recovered")
    recovery.recover(recovery.plan(recovery.Target()), new, login=("hub", "hub"))
    world.embedded.replace_cluster(new)
    world.start()
    (last,) = world.sql("SELECT max(at) FROM ticks")[0]
    took = time.perf_counter() - begin
    (rows,) = world.sql("SELECT count(*) FROM minutes")[0]
    if rows != ROWS:
        raise RuntimeError(f"{rows} of {ROWS} rows came back")
    return max(0.0, (died - last).total_seconds()), took
