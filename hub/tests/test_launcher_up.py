"""The two commands as a person meets them: one hub is started, looked at, killed, started again and stopped."""

import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from hub.launcher.place import read_json
from hub.launcher.processes import living_below
from hub.launcher.throwaway import Throwaway
from hub.testing import wait_until

from .launched_hub import Hub, launched_hub

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with launched_hub() as subject:
        yield subject


@pytest.fixture(scope="module")
def first_start(hub: Hub) -> str:
    """What the first `make up DETACH=1` said."""
    code, output = hub.run("up", "--detach")
    assert code == 0, output
    return output


def test_up_tells_everything_a_person_needs(hub, first_start):
    assert f"http://localhost:{hub.port}" in first_start
    assert re.search(r"admin / \S{12,}", first_start)
    assert re.search(r"Game server +\S+:\d+", first_start)
    assert re.search(r"Console +\S+", first_start)
    assert re.search(rf"Device +\S+, http://localhost:{hub.port}/devices/\S+", first_start)
    assert re.search(r"Total +\d+\.\d s", first_start)


def test_web_answers_and_status_is_well(hub, first_start):
    assert hub.ask("/health/ready") == 200
    assert hub.ask("/accounts/login/") == 200

    code, output = hub.run("status", HUB_PORT="1")  # what runs is known, whatever the environment says now

    assert code == 0, output
    for name in ("postgres", "valkey", "wal", "agent", "scheduler", "web", "device"):
        assert re.search(rf"^{name} +running", output, re.MULTILINE)


def test_password_is_in_no_log(hub, first_start):
    password = re.search(r"admin / (\S+)", first_start)[1]

    for path in (hub.data / "logs").iterdir():
        assert password not in path.read_text(errors="replace"), path


def test_management_commands_find_the_services(hub, first_start):
    (server,) = hub.servers()

    assert server["observed_status"] == "running"


def test_this_machine_is_a_device_that_calls(hub, first_start):
    (device,) = hub.devices()

    assert (device["number"], device["status"], device["liveness"]) == (1, "accepted", "online")
    assert device["beat__health"]
    if os.geteuid() == 0:
        assert Path(f"/proc/{hub.processes()['device'].pid}").stat().st_uid != 0
        assert (hub.data / "device" / "key.pem").stat().st_uid != 0


def test_second_up_says_where_the_hub_is(hub, first_start):
    code, output = hub.run("up")

    assert code == 0
    assert f"running already: http://localhost:{hub.port}" in output


def test_another_hub_on_the_same_port_is_refused_and_leaves_nothing(hub, first_start):
    other = hub.data.with_name("other")

    code, output = hub.run("up", HUB_DATA=str(other))

    assert code == 1
    assert output.startswith(f"Port {hub.port} on 127.0.0.1 is in use")
    assert not other.exists()


def test_killed_web_comes_back(hub, first_start):
    web = hub.processes()["web"]

    os.kill(web.pid, signal.SIGKILL)

    wait_until(lambda: hub.processes()["web"].pid != web.pid)
    wait_until(lambda: hub.answers())
    assert re.search(r"^web +running +\d+ +\d+ s +1", hub.run("status")[1], re.MULTILINE)


def test_logs_show_every_process(hub, first_start):
    _, output = hub.run("logs", "--no-follow")

    assert "postgres   | " in output
    assert "ready to accept connections" in hub.run("logs", "postgres", "--no-follow")[1]


def test_killed_supervisor_takes_its_children_along_and_the_next_up_works(hub, first_start):
    processes = hub.processes()
    programs = living_below(hub.data / "workloads")
    assert programs

    os.kill(processes["supervisor"].pid, signal.SIGKILL)
    wait_until(lambda: not any(each.is_alive() for each in processes.values()))
    code, output = hub.run("up", "--detach")

    assert code == 0, output
    assert "shown only now" not in output
    assert [server["restart_count"] for server in hub.servers()] == [0]
    assert living_below(hub.data / "workloads") == programs  # players noticed nothing


def test_down_stops_everything_and_up_brings_the_server_back_without_a_crash(hub, first_start):
    processes = hub.processes()
    before, devices = hub.servers(), hub.devices()

    code, output = hub.run("down")

    assert code == 0, output
    assert not any(each.is_alive() for each in processes.values())
    assert living_below(hub.data) == []
    assert hub.run("status")[0] == 3

    code, output = hub.run("up", "--detach")
    assert code == 0, output
    assert hub.servers() == before
    wait_until(lambda: hub.devices()[0]["beat__counter"] > devices[0]["beat__counter"])
    assert [device["number"] for device in hub.devices()] == [1]
    assert hub.servers()[0]["restart_count"] == 0


def test_running_hub_goes_back_to_a_second_and_keeps_what_was_there(hub, first_start):
    hub.run("up", "--detach")
    wish = "from accounts.models import User; User.objects.filter(username='admin').update(first_name='%s')"
    hub.manage("backup", "--full")
    hub.manage("shell", "--no-imports", "-c", wish % "Wanted")
    time.sleep(1)
    moment = datetime.now(UTC)
    time.sleep(1)
    hub.manage("shell", "--no-imports", "-c", wish % "Regretted")

    output = hub.manage("pitr", moment.isoformat(), "--yes")

    assert "The database is back." in output
    assert "First backup of the restored database" in output
    assert hub.answers()
    look = "from accounts.models import User; print(User.objects.get(username='admin').first_name)"
    assert hub.manage("shell", "--no-imports", "-c", look).strip() == "Wanted"
    assert len(list((hub.data / "postgres").glob("before-*/PG_VERSION"))) == 1


def test_foreground_stops_on_interrupt_and_keeps_the_data(hub, first_start):
    hub.run("down")
    process = hub.start("up")
    assert process.stdout is not None
    for line in process.stdout:
        if "is ready" in line:
            break
    assert hub.answers()

    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 0, output
    assert "Everything is stopped." in output
    assert living_below(hub.data) == []
    assert (hub.data / "postgres" / "data" / "PG_VERSION").exists()


def test_interrupt_in_the_middle_of_a_start_leaves_nothing_running(hub, first_start):
    hub.run("down")
    process = hub.start("up", "--detach")
    wait_until(lambda: "postgres" in read_json(hub.data / "state.json").get("children", {}))
    time.sleep(0.5)
    started = hub.processes()

    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)

    assert process.returncode != 0
    wait_until(lambda: not any(each.is_alive() for each in started.values()))


def test_failed_step_is_named_and_leaves_nothing_running(hub, first_start):
    hub.run("down")

    code, output = hub.run("up", HUB_LOG_LEVEL="NONSENSE")

    assert code == 1
    assert "HUB_LOG_LEVEL" in output.splitlines()[-1]
    assert hub.run("status")[0] == 3
    assert living_below(hub.data) == []


def test_up_uses_the_servers_it_is_given_and_leaves_them_running():
    services = Throwaway()
    given = {name.upper(): services.addresses[name] for name in ("database_url", "redis_url")}
    try:
        with launched_hub() as hub:
            code, output = hub.run("up", "--detach", **given)
            children = set(hub.processes())
            hub.run("down", **given)
        with psycopg.connect(given["DATABASE_URL"]) as database:
            servers = database.execute("SELECT desired_status, observed_status FROM servers_gameserver").fetchall()
    finally:
        services.close()

    assert code == 0, output
    assert children.isdisjoint({"postgres", "valkey"})
    assert servers == [("running", "lost")]
