"""Workloads of several containers on Docker: sidecars, planted files, extra rights, and load-balancer addresses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.engines.base import GRANT_OPTION, EngineError, Limits, PortBinding, Reason, Sidecar, WorkloadSpec
from hub.engines.docker.containers import Account, Image, container_config
from hub.testing import wait_until

from .docker_helpers import Lab
from .docker_images import image

pytestmark = [pytest.mark.docker, pytest.mark.slow]

EXPIRES = datetime(2031, 5, 17, 12, tzinfo=UTC)
ASKS_DATABASE = "until wget -qO- http://db:5000/row; do sleep 0.1; done; sleep 300"


def database(**changes: Any) -> Sidecar:
    """A database of one row, served from its own scratch space."""
    script = "mkdir /var/lib/db && cp /seed/row /var/lib/db/ && exec httpd -f -p 127.0.0.1:5000 -h /var/lib/db"
    values = {
        "name": "db",
        "image": image("busybox"),
        "command": ("sh", "-c", script),
        "limits": Limits(memory_mb=32, cpu_percent=50, disk_mb=16),
        "files": {"/seed/row": "the one row\n"},
        "writable_paths": ("/var/lib",),
    }
    return Sidecar(**{**values, **changes})


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab(**{GRANT_OPTION: True})
    yield lab
    lab.close()


def wait_for_row(lab: Lab, spec: WorkloadSpec) -> None:
    wait_until(lambda: "the one row" in lab.engine.logs(spec.name).lines, what="the answer of the database")


def all_of(lab: Lab) -> list[dict[str, Any]]:
    """Every container of this part of Docker."""
    label = f"kutanga.namespace={lab.engine.names.namespace}"
    found: list[dict[str, Any]] = lab.api.containers(all=True, filters={"label": [label]})
    return found


def test_main_program_reaches_its_database_and_both_carry_the_expiry(lab: Lab):
    spec = lab.script(ASKS_DATABASE, sidecars=[database()], subnet="10.202.77.0/29", expires_at=EXPIRES, data_path="")
    lab.engine.ensure(spec)

    wait_for_row(lab, spec)

    labels = [container["Labels"] for container in all_of(lab)]
    assert [one["kutanga.expires"] for one in labels] == [EXPIRES.isoformat()] * 2
    assert [seen.name for seen in lab.engine.list_owned()] == [spec.name], "a sidecar is no workload of its own"
    assert lab.engine.inspect(spec.name).host.startswith("10.202.77.")


def test_sidecar_is_as_confined_as_the_main_program(lab: Lab):
    spec = lab.script(ASKS_DATABASE, sidecars=[database()])
    lab.engine.ensure(spec)

    found = lab.engine.client.get(f"/containers/{spec.name}-db/json")
    confined = found["HostConfig"]

    assert confined["CapDrop"] == ["ALL"]
    assert confined["ReadonlyRootfs"]
    assert confined["Memory"] == 32 * 1024**2
    assert found["Config"]["User"] == "1000:1000"


def test_dead_sidecar_is_told_of_and_started_again(lab: Lab):
    spec = lab.script(ASKS_DATABASE, sidecars=[database()])
    lab.engine.ensure(spec)
    wait_for_row(lab, spec)
    before = lab.engine.inspect(spec.name)
    lab.api.remove_container(f"{spec.name}-db", force=True)
    missing = lab.engine.inspect(spec.name)

    again = lab.engine.ensure(spec)

    assert (before.detail, again.detail) == ("", "")
    assert missing.detail == "Its container db does not run (missing)."
    assert again.started_at == before.started_at, "the main program went on"


def test_nothing_is_left_of_a_group_once_it_is_removed(lab: Lab):
    spec = lab.script(ASKS_DATABASE, sidecars=[database()], subnet="10.202.77.8/29", files={"/flag": "x"})
    lab.engine.ensure(spec)

    lab.engine.remove(spec.name)

    assert all_of(lab) == []
    assert lab.engine.client.get(f"/networks/{spec.name}") is None
    assert lab.engine.client.get(f"/volumes/{spec.name}-files") is None


def test_stop_and_kill_end_the_sidecars_too(lab: Lab):
    spec = lab.script("trap '' TERM; while :; do sleep 0.1; done", sidecars=[database()])
    lab.engine.ensure(spec)

    lab.engine.kill(spec.name)

    assert not lab.engine.inspect(spec.name).is_running
    assert [container["State"] for container in all_of(lab)] == ["exited"]


def test_restart_of_a_group_starts_its_sidecars_in_the_new_network(lab: Lab):
    spec = lab.script(ASKS_DATABASE, sidecars=[database()])
    lab.engine.ensure(spec)
    wait_for_row(lab, spec)
    lab.engine.kill(spec.name)

    lab.engine.ensure(spec)

    wait_until(lambda: list(lab.engine.logs(spec.name).lines).count("the one row") == 2, what="a second answer")


def test_planted_file_is_read_and_cannot_be_changed(lab: Lab):
    tries = ["cat /srv/flag.txt", "echo forged > /srv/flag.txt || echo refused", "rm -f /srv/flag.txt || echo kept"]
    script = "exec 2>/dev/null; " + "; ".join(tries)

    said = lab.output_of(script, files={"/srv/flag.txt": "flag{planted}\n"})

    assert said == ["flag{planted}", "refused", "kept"]


def test_program_has_no_secret_that_is_not_its_own_and_none_is_shown(lab: Lab):
    script = "env | grep -c 'flag{'; cat /srv/flag.txt; env | grep OWN"

    said = lab.output_of(
        script,
        files={"/srv/flag.txt": "flag{planted}\n"},
        env={"OWN": "password"},
        secrets=("flag{planted}", "flag{elsewhere}", "password"),
    )

    assert said == ["0", "***", "OWN=***"]


def test_file_system_is_writable_only_where_the_workload_says_so(lab: Lab):
    tries = "touch /x 2>/dev/null || echo closed; touch /var/y 2>/dev/null && echo scratch"

    assert lab.output_of(tries, writable_paths=("/var",)) == ["closed", "scratch"]
    spec = lab.script("true", is_read_only=False)
    lab.engine.ensure(spec)
    assert not lab.container(spec)["HostConfig"]["ReadonlyRootfs"]


@pytest.mark.parametrize("path", ["flag", "/proc/flag", "/../flag", "/a/./b", "/a\0b"])
def test_file_that_cannot_be_planted_is_refused(lab: Lab, path: str):
    with pytest.raises(EngineError) as refused:
        lab.engine.ensure(lab.script("true", files={path: "x"}))

    assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)


def test_extra_capability_works_on_marked_nodes_and_nowhere_else(lab: Lab):
    uses_it = "ip link set lo mtu 1400 2>/dev/null && echo changed || echo refused"

    assert lab.output_of(uses_it) == ["refused"]
    assert lab.output_of(uses_it, added_capabilities=("NET_ADMIN",)) == ["changed"]


@pytest.mark.parametrize("grant", [{"added_capabilities": ("NET_ADMIN",)}, {"is_privileged": True}], ids=str)
def test_extra_rights_are_refused_on_nodes_that_are_not_marked(lab: Lab, grant: dict[str, Any]):
    lab.engine.options.pop(GRANT_OPTION)

    with pytest.raises(EngineError) as refused:
        lab.engine.ensure(lab.script("true", **grant))

    assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)
    assert all_of(lab) == []


def test_privileged_workload_is_asked_for_as_such_and_runs_as_its_image_says(lab: Lab):
    """Not started: a machine that is a container itself often cannot give all rights."""
    made_from = Image(id="sha256:0", digest="", user="", volumes=())

    def body(**grant: Any) -> dict[str, Any]:
        spec = lab.script("true", **grant)
        return container_config(spec, made_from, Account(1000, 1000), network="n", namespace="n", dns=())

    plain, granted = body(), body(is_privileged=True)

    assert (granted["HostConfig"]["Privileged"], granted["User"]) == (True, "0:0")
    assert ("Privileged" in plain["HostConfig"], plain["User"]) == (False, "1000:1000")


def test_addresses_are_held_served_and_let_go(lab: Lab):
    ips = ["10.203.77.1", "10.203.77.2"]
    binding = PortBinding(name="web", ip=ips[0], port=80, target_port=8080)
    lab.engine.hold_addresses(ips)
    serves = "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
    spec = lab.script(serves, ports=(binding,), egress=False)
    lab.engine.ensure(spec)

    def page() -> str:
        return subprocess.run(["curl", "-s", f"http://{ips[0]}/"], capture_output=True, text=True, check=False).stdout

    assert wait_until(page, what="an answer at the address") == "hello\n"
    assert held(lab) == set(ips)
    lab.engine.hold_addresses(ips[:1])
    assert held(lab) == {ips[0]}
    lab.engine.hold_addresses([])
    assert held(lab) == set()


def test_address_that_the_machine_has_anyway_is_left_to_its_interface(lab: Lab):
    lab.engine.hold_addresses(["127.0.0.1", "10.203.77.3"])

    assert held(lab) == {"10.203.77.3"}


def held(lab: Lab) -> set[str]:
    """What the dummy interface carries."""
    device = lab.engine.names.addresses_device
    if not Path("/sys/class/net", device).exists():
        return set()
    words = ["ip", "-json", "address", "show", "dev", device]
    (found,) = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return {entry["local"] for entry in found["addr_info"] if entry["scope"] == "global"}


def test_group_of_an_unknown_shape_is_refused(lab: Lab):
    twins = [database(), database()]

    with pytest.raises(EngineError) as refused:
        lab.engine.ensure(lab.script("true", sidecars=twins))

    assert refused.value.permanent
