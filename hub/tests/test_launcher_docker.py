"""`make up` where a Docker Engine answers: containers by itself, and nothing of them left after a reset."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.launcher.place import read_json

from .test_launcher_up import Hub

pytestmark = [pytest.mark.slow, pytest.mark.docker]


def docker(*arguments: str) -> list[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub that has come up by itself, with a container as its first server."""
    root = Path(tempfile.mkdtemp(prefix="kutanga-test-", dir="/tmp"))
    root.chmod(0o755)
    hub = Hub(root / "data")
    hub.environment["HUB_LOCAL_ENGINE"] = "auto"
    try:
        code, hub.said = hub.run("up", "--detach")
        assert code == 0, hub.said
        yield hub
    finally:
        hub.run("reset", "--yes")
        shutil.rmtree(root)


def label(hub: Hub) -> str:
    return f"label=kutanga.namespace={read_json(hub.data / 'engine.json')['options']['namespace']}"


def test_up_takes_docker_and_says_so(hub: Hub) -> None:
    assert "Docker containers. Docker answers here." in hub.said
    assert len(docker("ps", "--quiet", "--filter", label(hub))) == 1
    assert [server["observed_status"] for server in hub.servers()] == ["running"]


def test_down_ends_the_container_without_a_crash_and_up_brings_it_back(hub: Hub) -> None:
    hub.run("down")
    running = docker("ps", "--quiet", "--filter", label(hub))

    code, output = hub.run("up", "--detach")

    assert running == []
    assert code == 0, output
    assert "Docker containers." in output
    assert [server["restart_count"] for server in hub.servers()] == [0]


def test_reset_leaves_no_container_volume_network_or_rule(hub: Hub) -> None:
    mine = label(hub)
    assert docker("volume", "ls", "--quiet", "--filter", mine)

    code, output = hub.run("reset", "--yes")

    assert code == 0, output
    assert "Removed 1 containers of game servers with their data." in output
    assert docker("ps", "--all", "--quiet", "--filter", mine) == []
    assert docker("volume", "ls", "--quiet", "--filter", mine) == []
    assert docker("network", "ls", "--quiet", "--filter", mine) == []
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert mine.partition("=")[2].partition("=")[2] not in rules
