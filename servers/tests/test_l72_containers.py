"""LightNode's 33 tests of its Docker provisioner (seed L72), asked of what this hub tells any engine."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from hub.engines.base import EngineError, Observation, Reason, WorkloadSpec, labels_for
from hub.engines.fake import Behaviour, FakeEngine, FakeImage
from hub.nodes.models import Address, Operation
from servers import services
from servers.catalogue import sync_catalogue
from servers.models import GameServer, Template
from servers.tests.factories import make_server
from servers.tests.machine import settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(owner: User, engine: FakeEngine, games: Any) -> GameServer:
    """A running Minecraft server."""
    sync_catalogue()
    server = make_server(
        owner=owner,
        template=Template.objects.get(slug="minecraft-java"),
        name="My World",
        memory_mb=2048,
        disk_mb=10_000,
    )
    return settle(server, "running")


def spec_of(server: GameServer, engine: FakeEngine) -> WorkloadSpec:
    spec: WorkloadSpec = engine.state.workloads[server.engine_name].spec
    return spec


def seen(server: GameServer, engine: FakeEngine) -> Observation:
    found = engine.inspect(server.engine_name)
    assert found is not None
    return found


# --- Name and labels: 6 -------------------------------------------------------------------------------------------


def test_l72_container_01_is_named_by_the_servers_id(server: GameServer, engine: FakeEngine) -> None:
    assert list(engine.state.workloads) == [f"hub-server-{server.pk}"]


def test_l72_container_02_keeps_its_name_when_the_server_is_renamed(
    server: GameServer, engine: FakeEngine, owner: User
) -> None:
    services.rename_server(server, actor=owner, name="Another name")
    services.restart_server(server, actor=owner)
    settle(server, "starting")
    settle(server, "running")

    assert list(engine.state.workloads) == [f"hub-server-{server.pk}"]


def test_l72_container_03_name_is_free_of_what_people_type(server: GameServer) -> None:
    assert "My World" not in server.engine_name


def test_l72_container_04_carries_its_id_as_a_label(server: GameServer, engine: FakeEngine) -> None:
    assert seen(server, engine).labels["kutanga.id"] == str(server.pk)


def test_l72_container_05_carries_kind_and_generation(server: GameServer, engine: FakeEngine) -> None:
    labels = labels_for(spec_of(server, engine))

    assert (labels["kutanga.kind"], labels["kutanga.generation"]) == ("server", "1")


def test_l72_container_06_is_found_by_its_labels_alone(server: GameServer, engine: FakeEngine) -> None:
    assert [found.id for found in engine.list_owned()] == [server.pk]


# --- Image and environment: 8 -------------------------------------------------------------------------------------


def test_l72_container_07_runs_the_catalogues_image(server: GameServer, engine: FakeEngine) -> None:
    assert spec_of(server, engine).image.startswith("itzg/minecraft-server")


def test_l72_container_08_accepts_the_licence(server: GameServer, engine: FakeEngine) -> None:
    assert spec_of(server, engine).env["EULA"] == "TRUE"


def test_l72_container_09_gives_the_heap_less_than_the_container(server: GameServer, engine: FakeEngine) -> None:
    spec = spec_of(server, engine)

    assert spec.env["MEMORY"] == "1536M"
    assert spec.limits.memory_mb == 2048


def test_l72_container_10_switches_rcon_on_with_the_servers_password(server: GameServer, engine: FakeEngine) -> None:
    env = spec_of(server, engine).env
    password = GameServer.objects.get(pk=server.pk).rcon_password.reveal()

    assert (env["ENABLE_RCON"], env["RCON_PORT"], env["RCON_PASSWORD"]) == ("TRUE", "25575", password)


def test_l72_container_11_passes_difficulty_and_mode(server: GameServer, engine: FakeEngine) -> None:
    env = spec_of(server, engine).env

    assert (env["DIFFICULTY"], env["MODE"]) == ("hard", "survival")


def test_l72_container_12_passes_the_version_and_kind_chosen(server: GameServer, engine: FakeEngine) -> None:
    env = spec_of(server, engine).env

    assert (env["VERSION"], env["TYPE"]) == ("LATEST", "PAPER")


def test_l72_container_13_offers_the_kinds_of_server_that_were_offered(server: GameServer) -> None:
    kinds = server.template.variables.get(key="TYPE").choices

    assert {"PAPER", "FORGE", "FABRIC", "SPIGOT"} <= set(kinds)


def test_l72_container_14_passes_online_mode_command_blocks_and_spawn_protection(
    server: GameServer, engine: FakeEngine
) -> None:
    env = spec_of(server, engine).env

    assert [env[key] for key in ("ONLINE_MODE", "ENABLE_COMMAND_BLOCK", "SPAWN_PROTECTION")] == ["true", "true", "16"]


# --- Ports, limits, data: 6 ---------------------------------------------------------------------------------------


def test_l72_container_15_publishes_the_leased_port_on_the_games_own(server: GameServer, engine: FakeEngine) -> None:
    assert [(port.port, port.target_port) for port in spec_of(server, engine).ports] == [(25565, 25565)]


def test_l72_container_16_does_not_publish_rcon(server: GameServer, engine: FakeEngine) -> None:
    assert [port.name for port in spec_of(server, engine).ports] == ["game"]


def test_l72_container_17_many_servers_fit_on_one_host(server: GameServer, engine: FakeEngine, owner: User) -> None:
    other = make_server(owner=owner, template=server.template, memory_mb=1024, disk_mb=5000)
    settle(other, "running")

    ports = {port.port for found in engine.list_owned() for port in found.ports}

    assert ports == {25565, 25566}


def test_l72_container_18_has_hard_limits(server: GameServer, engine: FakeEngine) -> None:
    limits = spec_of(server, engine).limits

    assert (limits.memory_mb, limits.disk_mb, limits.cpu_percent) == (2048, 10_000, 100)
    assert limits.pids > 0


def test_l72_container_19_keeps_its_world_in_a_volume(server: GameServer, engine: FakeEngine) -> None:
    assert spec_of(server, engine).data_path == "/data"
    assert server.engine_name in engine.state.data


def test_l72_container_20_new_limits_come_with_the_next_start(
    server: GameServer, engine: FakeEngine, owner: User
) -> None:
    services.resize_server(server, actor=owner, memory_mb=4096, disk_mb=10_000)
    assert spec_of(server, engine).limits.memory_mb == 2048

    services.restart_server(server, actor=owner)
    settle(server, "starting")
    assert spec_of(server, engine).limits.memory_mb == 4096


# --- Start, stop, kill, remove: 8 ---------------------------------------------------------------------------------


def test_l72_container_21_image_is_pulled_with_progress(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)

    settle(server, "running")

    assert server.image_digest == engine.state.local_images[server.template.image]


def test_l72_container_22_missing_image_is_said(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    engine.state.images[server.template.image] = FakeImage("", missing=True)

    settle(server, "failed")

    assert "No registry has the image" in server.status_reason


def test_l72_container_23_stop_waits_longer_than_the_images_own_wait(server: GameServer, engine: FakeEngine) -> None:
    spec = spec_of(server, engine)

    assert spec.stop_grace_seconds > int(spec.env["STOP_DURATION"])


def test_l72_container_24_stop_is_graceful_and_keeps_the_world(
    server: GameServer, engine: FakeEngine, owner: User
) -> None:
    services.stop_server(server, actor=owner)
    settle(server, "stopped")

    assert engine.state.workloads[server.engine_name].signals == ["SIGTERM"]
    assert server.engine_name in engine.state.data


def test_l72_container_25_starts_again_after_a_stop(server: GameServer, engine: FakeEngine, owner: User) -> None:
    services.stop_server(server, actor=owner)
    settle(server, "stopped")

    services.start_server(server, actor=owner)
    settle(server, "running")

    assert engine.state.workloads[server.engine_name].run == 2


def test_l72_container_26_kill_is_immediate(server: GameServer, engine: FakeEngine, owner: User) -> None:
    engine.behave(Behaviour(ignores_stop=True))

    services.kill_server(server, actor=owner)
    settle(server, "stopped")

    assert engine.state.workloads[server.engine_name].signals == ["SIGKILL"]


def test_l72_container_27_delete_removes_container_data_and_lease(
    server: GameServer, engine: FakeEngine, owner: User
) -> None:
    services.delete_server(server, actor=owner)
    settle(server, "deleted")

    assert (engine.state.workloads, engine.state.data) == ({}, set())
    assert not Address.objects.filter(holder=server.pk).exists()


def test_l72_container_28_delete_goes_on_when_the_engine_failed_at_first(
    server: GameServer, engine: FakeEngine, owner: User
) -> None:
    engine.fail("remove", EngineError("away", reason=Reason.UNAVAILABLE))
    services.delete_server(server, actor=owner)
    settle(server, "deleting")
    GameServer.objects.update(next_check_at=server.created_at)

    settle(server, "deleted")

    assert Operation.objects.get(verb="delete").status == "done"


# --- Status and logs: 5 -------------------------------------------------------------------------------------------


def test_l72_container_29_status_tells_what_was_asked_and_what_is_seen(server: GameServer) -> None:
    assert (server.desired_status, server.observed_status) == ("running", "running")
    assert server.observed_at is not None
    assert server.started_at is not None


def test_l72_container_30_players_and_version_are_seen(server: GameServer) -> None:
    assert (server.facts["players"], server.facts["max_players"], server.facts["version"]) == (3, 20, "1.21")


def test_l72_container_31_a_container_removed_by_hand_is_noticed_and_made_again(
    server: GameServer, engine: FakeEngine
) -> None:
    engine.lose(server.engine_name)

    settle(server, "lost")
    assert "removed outside the hub" in server.status_reason

    GameServer.objects.update(restart_after=None)
    settle(server, "running")


def test_l72_container_32_out_of_memory_is_named(server: GameServer, engine: FakeEngine) -> None:
    engine.crash(server.engine_name, code=137, oom=True)

    settle(server, "crashed")

    assert "Out of memory" in server.status_reason
    assert server.oom_killed


def test_l72_container_33_logs_come_masked(server: GameServer, engine: FakeEngine, owner: User) -> None:
    password = GameServer.objects.get(pk=server.pk).rcon_password.reveal()
    engine.write_log(server.engine_name, f"RCON running, password {password}")

    services.read_log(server, actor=owner)
    settle(server, "running")

    assert services.read_log(server, actor=owner).text == "RCON running, password ***\n"
