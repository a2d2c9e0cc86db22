"""What a fleet costs: 10,000 devices that really sign, from a process of their own, and pages over 100,000.

The devices share the machine's cores with the server that they ask. Whole, on a quiet machine:

    make bench ARGS="fleet_heartbeats"      10,000 devices for 3 min, then all at once: about 5 min
    make bench ARGS="fleet_deployment"      a deployment to 10,000 while they call: about 1 min
    make bench ARGS="fleet_download"        1 GiB, cut and gone on with: about 1 min

A look at whether they work; the figures are named by the sizes they were measured with:

    make bench ARGS="fleet_heartbeats fleet_deployment fleet_download --devices 500 --seconds 10 --mib 32"
"""

from __future__ import annotations

import json
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from cryptography.hazmat.primitives.serialization import load_der_private_key
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import clear_url_caches, path

from accounts.actors import SYSTEM
from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle
from devices.deployments.models import DeploymentTarget
from devices.deployments.services import Chosen, Terms, create_deployment
from hub import urls

from ._fleet_load import BODY, Key, Plan, Signing, headers_of
from .api import reader
from .create_server import PORT, gunicorn
from .fleet_world import add_devices, give_keys, remove_devices
from .harness import Figure, benchmark, median_of, per_second
from .wsgi import ask

from kutanga_agent.fetch import fetch  # isort: skip - found by `_fleet_load`
from kutanga_agent.hub import Hub  # isort: skip
from kutanga_agent.state import State  # isort: skip

CALLING = int(os.environ.get("BENCH_DEVICES", "10000"))
EVERY_SECONDS, MOST = 30.0, 100_000
SECONDS = float(os.environ.get("BENCH_SECONDS", "180"))
WARM_UP_SECONDS = 5.0
CALLS, PAGE_CALLS = 400, 15
MIB = 2**20
FILE_MIB = int(os.environ.get("BENCH_MIB", "1024"))
FILE_BYTES = FILE_MIB * MIB
LATE_MS = 1_000
LONGEST_SECONDS, BEFORE_SECONDS, AFTER_SECONDS = 120.0, 10.0, 5.0
PAGES = (
    "/devices/",
    "/devices/?view=offline",
    "/devices/?q=0500",
    "/devices/?q=site-17",
    "/devices/?page=1900",
    "/devices/?status=accepted&type=camera",
    "/devices/?ordering=-beat__last_seen_at",
    "/fleet/",
    "/api/v1/devices?limit=50",
    "/api/v1/devices?q=0500",
)


@cache
def callers() -> list[Signing]:
    """The devices that call, with keys, made once."""
    return give_keys(add_devices(CALLING))


def call(devices: list[Signing], seconds: float, every: float, **more: Any) -> dict[str, Any]:
    """Have the devices call and wait for the end."""
    process, _ = started(devices, seconds, every, **more)
    return finished(process)


def started(devices: list[Signing], seconds: float, every: float, **more: Any) -> tuple[subprocess.Popen[str], float]:
    """The process of the devices, and when they began to call."""
    with tempfile.NamedTemporaryFile("wb", suffix=".plan", delete=False) as file:
        pickle.dump(Plan(PORT, devices, seconds, every, **more), file)
    command = [sys.executable, "-m", "bench._fleet_load", file.name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR)
    return process, float(process.stdout.readline())  # type: ignore[union-attr]  # it is a pipe


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate()
    Path(process.args[-1]).unlink(missing_ok=True)  # type: ignore[index,arg-type]
    if process.returncode:
        raise RuntimeError("the process of the devices ended early")
    told: dict[str, Any] = json.loads(output)
    if wrong := {status: number for status, number in told["statuses"].items() if status != "200"}:
        raise RuntimeError(f"heartbeats were answered {wrong}")
    return told


def percentile(latencies: list[float], share: float) -> float:
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000


@benchmark
def fleet_heartbeats() -> Iterator[Figure]:
    """10,000 devices call every 30 s, each call signed; then all at once, as after a power cut."""
    devices = callers()
    connection.close()
    with gunicorn():
        call(devices, WARM_UP_SECONDS, EVERY_SECONDS)
        times = sorted(taken for _, taken in call(devices, SECONDS, EVERY_SECONDS)["calls"])
        back = call(devices, 0, 0, anew=True, threads=64)
    name = f"{CALLING:,} devices calling every {EVERY_SECONDS:g} s for {SECONDS:g} s, signed: 95th percentile"
    worst = (statistics.median(times) * 1000, times[-1] * 1000)
    yield Figure(name, percentile(times, 0.95), "ms", 50, spread=worst)
    yield Figure(f"{CALLING:,} devices back at once, new connections, none refused", back["seconds"], "s", 60)


_BARE = """
    UPDATE devices_devicebeat SET last_seen_at = now(), memory_mb = %s, cpu_percent = %s WHERE device_id = %s
    RETURNING interval_seconds
"""


def bare(request: HttpRequest, id: str) -> HttpResponse:
    """What a heartbeat would be without any proof: one UPDATE of one row."""
    said = json.loads(request.body)
    with connection.cursor() as cursor:
        cursor.execute(_BARE, [said["memory_mb"], said["cpu_pct"], id])
        return JsonResponse({"commands": [], "polling_interval": cursor.fetchone()[0]})


bare.csrf_exempt = True  # type: ignore[attr-defined]


@benchmark
def fleet_heartbeat_cost() -> Iterator[Figure]:
    """Signed heartbeats a second in one process, beside a view that only updates the row."""
    settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, 1_000_000)
    devices = callers()
    keys = [Key(load_der_private_key(device.der, None)) for device in devices[:CALLS]]
    urls.urlpatterns.insert(0, path("api/v1/bench-beat/<uuid:id>", bare))
    clear_url_caches()

    def signed_calls() -> float:
        base = time.time_ns() // 1000
        ready = []
        for number, (device, key) in enumerate(zip(devices, keys, strict=False)):
            where = f"/api/v1/devices/{device.id}/heartbeat"
            ready.append((where, headers_of(where, device.fingerprint, key, base + number)))
        turns = iter(ready)
        return per_second(lambda: _beat(*next(turns)), CALLS)

    def bare_calls() -> float:
        turns = iter([f"/api/v1/bench-beat/{device.id}" for device in devices[:CALLS]])
        return per_second(lambda: _beat(next(turns), {}), CALLS)

    try:
        signed_calls(), bare_calls()
        ours, spread = median_of(signed_calls)
        raw, _ = median_of(bare_calls)
    finally:
        urls.urlpatterns.pop(0)
        clear_url_caches()
    name = "signed heartbeats in one process, whole stack"
    yield Figure(name, ours, "/s", 0.5, raw=raw, raw_name="bare one-update view", at_least=True, spread=spread)


def _beat(where: str, headers: dict[str, str]) -> None:
    ask("POST", where, headers, BODY)


@benchmark
def fleet_deployment() -> Iterator[Figure]:
    """A deployment to 10,000 devices is made while they call every 30 s: what calls take before, then, and after."""
    devices = callers()
    facts = {"status": BundleStatus.READY, "is_sealed": False, "sha256": "a" * 64, "stored_name": "none.bin"}
    bundle = Bundle.objects.create(name="bench", version=f"{time.time_ns()}", size_bytes=1000, **facts)
    with gunicorn():
        call(devices, WARM_UP_SECONDS, EVERY_SECONDS)
        process, began = started(devices, LONGEST_SECONDS, EVERY_SECONDS)
        time.sleep(BEFORE_SECONDS)
        start = time.time()
        chosen = Chosen(devices=[UUID(each.id) for each in devices])
        made = create_deployment(bundle, chosen, Terms(soak_seconds=0, allow_downgrade=True), actor=SYSTEM)
        end = time.time()
        time.sleep(AFTER_SECONDS)
        process.terminate()
        calls: list[tuple[float, float]] = finished(process)["calls"]
    if DeploymentTarget.objects.filter(deployment=made.deployment).count() != CALLING:
        raise RuntimeError("The deployment does not reach all devices.")
    made.deployment.delete()
    parts = {"just before": (0, start), "meanwhile": (start, end), "just after, with their offers": (end, end + 60)}
    yield Figure(f"deployment to {CALLING:,} devices made while they call", end - start, "s", 30)
    for name, (since, until) in parts.items():
        taken = sorted(taken for due, taken in calls if since <= began + due < until)
        yield Figure(f"heartbeats due {name}, 95th percentile", percentile(taken, 0.95), "ms", LATE_MS)


@benchmark
def fleet_pages() -> Iterator[Figure]:
    """Lists, searches and the overview over 100,000 devices, and the deepest page."""
    by_session = reader().by_session
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM devices_device")
        missing = MOST - cursor.fetchone()[0]
    added = add_devices(missing) if missing > 0 else []
    times = []
    for page in PAGES:
        work = partial(ask, "GET", page, by_session)
        work()
        for _ in range(PAGE_CALLS):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    remove_devices(added)  # other benchmarks look at the overview, too
    times.sort()
    worst = (statistics.median(times) * 1000, times[-1] * 1000)
    yield Figure(
        f"lists and searches of {MOST:,} devices, 95th percentile",
        percentile(times, 0.95),
        "ms",
        300,
        None,
        spread=worst,
    )


@benchmark
def fleet_download() -> Iterator[Figure]:
    """1 GiB by the agent's own download, cut at a random byte and gone on with; memory of the web processes."""
    device = give_keys(add_devices(1))[0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_device SET status = 'accepted' WHERE id = %s", [device.id])
    target, digest = _large_bundle(device)
    with tempfile.TemporaryDirectory(prefix="kutanga-bench-") as folder, gunicorn():
        state = State(Path(folder) / "state")
        state.memory.hub, state.memory.device_id = f"http://localhost:{PORT}", device.id
        hub = Hub(state, Key(load_der_private_key(device.der, None)))
        file = {"url": f"/api/v1/deployments/{target}/file", "size_bytes": FILE_BYTES, "sha256": digest}
        hub.authorization()
        before = _web_memory()
        start = time.perf_counter()
        place = Path(folder) / "file"
        fetch(hub, file, place)
        os.truncate(place, random.randrange(FILE_BYTES))
        fetch(hub, file, place)  # raises when the digest is another
        spent = time.perf_counter() - start
        grown = _web_memory() - before
    yield Figure(f"{FILE_MIB:,} MiB fetched, cut at a random byte, gone on with, digest right", spent, "s", 60)
    yield Figure("memory that web processes have more after it", max(0.0, grown / MIB), "MiB", 64)


def _large_bundle(device: Signing) -> tuple[str, str]:
    """A bundle of that size that is offered to the device; answers the deployment and the file's digest."""
    block, whole, name = os.urandom(MIB), sha256(), f"bench-{time.time_ns()}.bin"
    folder = settings.HUB_DATA / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        for _ in range(FILE_MIB):
            file.write(block)
            whole.update(block)
    digest = whole.hexdigest()
    facts: dict[str, Any] = {"status": BundleStatus.READY, "is_sealed": False}
    facts |= {
        "sha256": digest,
        "stored_sha256": digest,
        "size_bytes": FILE_BYTES,
        "stored_bytes": FILE_BYTES,
        "stored_name": name,
    }
    bundle = Bundle.objects.create(name="bench-large", version=f"{time.time_ns()}", **facts)
    chosen = Chosen(devices=[UUID(device.id)])
    made = create_deployment(bundle, chosen, Terms(soak_seconds=0, allow_downgrade=True), actor=SYSTEM)
    DeploymentTarget.objects.filter(deployment=made.deployment).update(status="downloading")
    return str(made.deployment.pk), digest


def _web_memory() -> int:
    """Private memory of our gunicorn and its workers."""
    ours = [each for each in psutil.Process().children(recursive=True) if "gunicorn" in " ".join(each.cmdline())]
    return sum(each.memory_full_info().uss for each in ours)
