"""docker-compose.yml with the image that our Dockerfile builds: every part runs, and a game server is played.

`test_d89_…` are the nine checks of the seed's integration script, each able to fail; D89 gives their order.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from hub.testing import wait_until

from .compose import Stack, all_images
from .docker_images import image, machine_client

# The first of them builds images and starts every service.
pytestmark = [pytest.mark.docker, pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1500)]

SERVERS = "/api/v1/servers"
TEEWORLDS_IMAGE = ("localhost/kutanga/teeworlds", "latest")
LAUNCH_SECONDS = 90


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    all_images()
    client = machine_client()
    client.tag(image("teeworlds"), *TEEWORLDS_IMAGE)
    stack = Stack(tmp_path_factory.mktemp("compose"))
    try:
        stack.start()
        yield stack
    finally:
        stack.close()
        client.remove_image(":".join(TEEWORLDS_IMAGE), noprune=True)
        client.close()


@pytest.fixture(scope="module")
def access(stack: Stack) -> str:
    status, answer = stack.ask("/api/v1/auth/login", {"username": "admin", "password": stack.password})
    assert status == 200, answer
    return str(answer["access"])


def test_d89_1_first_page_answers(stack):
    status, page = stack.ask("/")
    assert status == 200
    assert "<title>" in page


def test_d89_2_unknown_page_is_404(stack):
    assert stack.ask("/no/such/page")[0] == 404


def test_d89_3_health_names_every_part(stack):
    status, health = stack.ask("/health")
    names = {check["name"] for check in health["checks"]}
    assert status == 200
    assert names >= {"database", "migrations", "redis", "scheduler", "agents", "disk"}
    assert [check for check in health["checks"] if check["state"] != "ok"] == []


def test_d89_4_ready_answers(stack):
    assert stack.ask("/health/ready")[0] == 200


def test_d89_5_first_page_says_what_it_is(stack):
    assert "Kutanga Hub" in stack.ask("/")[1]


def test_d89_6_list_has_its_key(stack, access):
    assert "results" in stack.ask(SERVERS, token=access)[1]


def test_d89_7_unknown_route_of_the_api_is_404(stack, access):
    assert stack.ask("/api/v1/no-such-thing", token=access)[0] == 404


def test_d89_8_error_has_its_message(stack):
    status, problem = stack.ask(SERVERS)
    assert status == 401
    assert problem["detail"]


def test_d89_9_list_is_an_array(stack, access):
    assert isinstance(stack.ask("/api/v1/templates", token=access)[1]["results"], list)


def test_no_part_but_the_agent_can_touch_the_machine(stack):
    for service in ("postgres", "valkey", "web", "scheduler", "wal"):
        told = stack.container(service)
        mounted = {mount["Destination"] for mount in told["Mounts"]}
        assert told["HostConfig"]["Privileged"] is False
        assert not any("docker.sock" in path for path in mounted), service
        assert told["HostConfig"]["PidMode"] == "", service
    for service in ("web", "scheduler", "wal", "agent"):
        told = stack.container(service)
        assert told["HostConfig"]["ReadonlyRootfs"], service
        assert told["HostConfig"]["CapDrop"] == ["ALL"], service


def test_stores_have_the_rights_that_their_entry_points_take_and_serve_without_any(stack):
    for service, added in {
        "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
        "valkey": {"CHOWN", "SETGID", "SETUID"},
    }.items():
        told = stack.container(service)
        status = Path(f"/proc/{told['State']['Pid']}/status").read_text()
        facts = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
        assert told["HostConfig"]["CapDrop"] == ["ALL"], service
        assert {each.removeprefix("CAP_") for each in told["HostConfig"]["CapAdd"]} == added, service
        assert facts["Uid"] == ["999"] * 4, service
        assert int(facts["CapEff"][0], 16) == 0, service
        assert facts["NoNewPrivs"] == ["1"], service


def test_bill_of_materials_in_the_image_lists_what_the_image_has(stack):
    """What is told is compared with what pip and dpkg find in the same container."""
    asked = """import subprocess, sys
from importlib.metadata import distributions
for each in distributions(path=[p for p in sys.path if p.startswith(sys.prefix)]):
    print(each.name.lower().replace("_", "-").replace(".", "-"), each.version)
form = "--showformat=${Package} ${Version}\\n"
print(subprocess.run(["dpkg-query", "--show", form], capture_output=True, text=True, check=True).stdout, end="")"""
    there = stack.compose("exec", "-T", "web", "python", "-c", asked).splitlines()

    bill = stack.compose("exec", "-T", "web", "cat", "/usr/share/kutanga-hub/sbom.json")

    listed = [each for each in json.loads(bill)["components"] if not each["purl"].startswith("pkg:npm/")]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert sorted(f"{each['name']} {each['version']}" for each in listed) == sorted(there)
    names = {each["name"] for each in listed}
    assert names >= {"django", "psycopg", "tini", "iptables", "libc6"}
    assert "cyclonedx-python-lib" not in names, "the program that wrote it is not in the image"


def test_no_secret_is_in_an_argument_a_log_or_what_docker_tells(stack):
    secrets = stack.secrets()
    logs = stack.compose("logs", "--no-color")
    told = json.dumps([stack.container(service) for service in ("postgres", "valkey", "web", "scheduler", "agent")])
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=120).stdout
    assert "bootstrap" in processes or "agent" in processes
    assert len(secrets) == 15
    assert [secret for secret in secrets if secret in logs or secret in processes] == []
    assert [secret for secret in secrets if secret in told and secret != stack.password] == []


def test_checks_of_every_container_find_it_well(stack):
    lasting = ("postgres", "valkey", "web", "scheduler", "wal", "agent")

    def health() -> dict[str, str]:
        return {name: stack.container(name)["State"]["Health"]["Status"] for name in lasting}

    wait_until(lambda: set(health().values()) == {"healthy"}, LAUNCH_SECONDS, pause=1, what="health of all containers")


def test_web_changes_no_table_and_no_part_empties_valkey(stack):
    asked = """from django.db import connection
from hub.jobs import _connection
for do in (lambda: connection.cursor().execute("DROP TABLE hub_beat"), lambda: _connection().flushall()):
    try: do(); print("done")
    except Exception as error: print(type(error).__name__)"""
    for service in ("web", "agent"):
        if service == "agent":
            asked = asked.replace("hub_beat", "no_such_table")
        told = stack.compose("exec", "-T", service, "python", "manage.py", "shell", "--verbosity=0", "-c", asked)
        assert told.split() == ["ProgrammingError", "NoPermissionError"], service


def test_wal_is_received_and_a_base_backup_is_made_and_verified(stack):
    made = stack.compose("exec", "-T", "scheduler", "python", "manage.py", "backup", "--full")
    listed = stack.compose("exec", "-T", "scheduler", "python", "manage.py", "backups")
    assert "-full" in made
    assert "WAL" in listed, listed


def test_lines_lie_where_alloy_looks_with_the_tag_by_which_it_knows_them(stack):
    told = stack.container("web")
    path = Path(told["LogPath"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    own = [json.loads(line["log"]) for line in lines if line["log"].startswith("{")]
    assert path.match("containers/*/*-json.log")
    assert {line["attrs"]["tag"] for line in lines} == {f"kutanga-hub/{told['Name'].lstrip('/')}"}
    assert {"time", "stream"} <= lines[0].keys()
    assert any("level" in line for line in own)


def test_figures_are_told_to_who_has_the_token_by_the_name_that_prometheus_asks_for(stack):
    asked = """import sys, urllib.request as r
q = r.Request("http://web:8000/metrics", headers={"Authorization": "Bearer " + open(sys.argv[1]).read()})
print(r.urlopen(q).read().decode())"""
    told = stack.compose("exec", "-T", "web", "python", "-c", asked, "/run/secrets/metrics_token")
    assert "redis_up 1.0" in told


def test_game_server_is_created_played_and_deleted_without_a_trace(stack, access):
    region = stack.ask("/api/v1/regions", token=access)[1]["results"][0]["slug"]
    status, made = stack.ask(SERVERS, {"name": "arena", "template": "teeworlds", "region": region}, token=access)
    assert status == 201, made
    path = f"{SERVERS}/{made['id']}"

    def state() -> str:
        return str(stack.ask(path, token=access)[1].get("status"))

    wait_until(lambda: state() in ("running", "failed"), LAUNCH_SECONDS, pause=0.5, what="its launch")
    server = stack.ask(path, token=access)[1]
    assert server["status"] == "running", server
    held = is_held(server["address"])
    status, _ = stack.ask(path, method="DELETE", token=access)
    wait_until(lambda: stack.ask(path, token=access)[0] == 404 or state() == "deleted", LAUNCH_SECONDS, pause=0.5)

    assert held, "nothing held its leased port"
    assert status == 202
    assert not is_held(server["address"])
    assert containers_of_the_hub(stack) == []


def test_restart_of_everything_finds_everything_again(stack, access):
    stack.compose("restart")
    wait_until(stack.is_healthy, LAUNCH_SECONDS, pause=0.5, what="health after a restart")
    assert stack.ask("/api/v1/auth/me", token=access)[0] == 200


def test_last_command_takes_networks_and_rules_away(stack):
    mine = f"kutanga-hub:{stack.namespace()}:"
    before = rules()
    stack.without_agent("python", "manage.py", "teardown", "--node", "local")
    assert mine in before
    assert mine not in rules()


def is_held(address: str) -> bool:
    """Say whether something holds the port of a server of Teeworlds, which speaks UDP."""
    ip, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, int(port)))
        except OSError:
            return True
    return False


def containers_of_the_hub(stack: Stack) -> list[str]:
    client: docker.APIClient = machine_client()
    try:
        found = client.containers(all=True, filters={"label": [f"kutanga.namespace={stack.namespace()}"]})
    finally:
        client.close()
    return [name for each in found for name in each["Names"]]


def rules() -> str:
    return subprocess.run(["iptables-save"], capture_output=True, text=True, check=True, timeout=120).stdout
