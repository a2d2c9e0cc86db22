"""What runs the workloads of a fresh hub: Docker where it works and has an image, else processes, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.engines.base import EngineError, Reason
from hub.engines.fake import FakeEngine
from hub.nodes import bootstrap, local_engine
from hub.nodes.models import Node

AWAY = EngineError("Docker does not answer on this node.", reason=Reason.UNAVAILABLE)
problem = ""


def provide(engine: Any) -> str:
    """Stands in for the making of an image."""
    return problem


@pytest.fixture(autouse=True)
def docker(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[FakeEngine]:
    """A Docker that is not one, left to `auto`."""
    FakeEngine.reset()
    settings.HUB_LOCAL_ENGINE, settings.HUB_LOCAL_IMAGE, settings.HUB_DATA = "auto", f"{__name__}.provide", tmp_path
    monkeypatch.setattr(local_engine, "load_engine", lambda kind, node, options: FakeEngine(node=node, options=options))
    yield FakeEngine(node="local", options={})
    FakeEngine.reset()


def test_docker_that_works_and_has_an_image_is_taken() -> None:
    chosen = local_engine.choose("local")

    assert (chosen.kind, chosen.why) == ("docker", "Docker answers here.")


def test_each_hub_has_a_part_of_docker_of_its_own() -> None:
    first, second = local_engine.choose("local"), local_engine.choose("local")

    assert first.options["namespace"] != second.options["namespace"]


def test_docker_that_is_away_means_processes(docker: FakeEngine) -> None:
    docker.fail("list_owned", AWAY)

    chosen = local_engine.choose("local")

    assert (chosen.kind, chosen.why) == ("process", str(AWAY))
    assert "root" in chosen.options


def test_firewall_that_cannot_be_laid_means_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeEngine) -> None:
        raise EngineError("The firewall needs root.", reason=Reason.UNAVAILABLE)

    monkeypatch.setattr(FakeEngine, "prepare", refuse)

    assert local_engine.choose("local").why == "The firewall needs root."


def test_without_an_image_processes_are_taken_and_nothing_is_left_laid(monkeypatch: pytest.MonkeyPatch) -> None:
    undone = []
    monkeypatch.setattr(f"{__name__}.problem", "The image cannot be made.")
    monkeypatch.setattr(FakeEngine, "teardown", lambda self: undone.append(1))

    chosen = local_engine.choose("local")

    assert (chosen.kind, chosen.why, undone) == ("process", "The image cannot be made.", [1])


@pytest.mark.parametrize("kind", ["docker", "process"])
def test_what_the_setting_names_is_taken_untried(kind: str, settings: Any, docker: FakeEngine) -> None:
    settings.HUB_LOCAL_ENGINE = kind

    assert local_engine.choose("local").kind == kind
    assert docker.calls() == []


@pytest.mark.django_db
def test_bootstrap_says_which_and_why_and_writes_it_down(tmp_path: Path) -> None:
    made = bootstrap.run()

    told = {"local_engine": "docker", "local_engine_why": "Docker answers here."}
    node = Node.objects.get(name="local")
    assert told in made
    assert json.loads((tmp_path / "engine.json").read_text()) == {
        "engine": "docker",
        "why": "Docker answers here.",
        "options": node.options,
    }
    assert [pool.name for pool in node.pools.all()] == ["games"]


@pytest.mark.django_db
def test_a_node_that_is_there_keeps_its_engine(docker: FakeEngine) -> None:
    docker.fail("list_owned", AWAY)
    bootstrap.run()

    assert bootstrap.run() == []
    assert Node.objects.get(name="local").engine == "process"
