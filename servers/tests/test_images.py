"""Images made from what is installed here: whole, made once, renewed when the content changes, never a stranger's."""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.engines.fake import FakeEngine
from hub.nodes import images as node_images
from hub.nodes.tests.factories import NodeFactory
from servers import images, packing
from servers.images import SAMPLE_IMAGE, Recipe, provide, provide_sample
from servers.packing import CannotPackError, Packer, pack_debian_program, pack_python

from .factories import TemplateFactory

TEEWORLDS = "/usr/games/teeworlds-server"


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    FakeEngine.reset()
    yield FakeEngine(node="here", options={})
    FakeEngine.reset()


@pytest.fixture
def recipe() -> Recipe:
    def pack(packer: Packer) -> list[str]:
        packer.add_bytes("/hello", b"hello")
        return ["/hello"]

    return Recipe("localhost/test", ["1"], pack)


def packed(tmp_path: Path, *content: str) -> dict[str, tarfile.TarInfo]:
    """What an archive with the program (or Python) holds, by path."""
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as tar:
        packer = Packer(tar)
        for program in content:
            pack_python(packer, program) if program == sys.executable else pack_debian_program(packer, program)
    with tarfile.open(archive) as tar:
        return {f"/{entry.name}": entry for entry in tar}


def test_python_is_packed_with_its_loader_and_library_for_everybody_to_read(tmp_path: Path) -> None:
    found = packed(tmp_path, sys.executable)

    assert any(Path(path).name.startswith("ld-") for path in found)
    assert any(path.endswith("/os.py") for path in found)
    assert any("libc.so" in path for path in found)
    assert not any("/site-packages/" in path for path in found)
    assert {(entry.uid, entry.mode & 0o444) for entry in found.values() if entry.isfile()} == {(0, 0o444)}


@pytest.mark.skipif(not Path(TEEWORLDS).exists(), reason="needs teeworlds-server: apt install teeworlds-server")
def test_a_debian_program_is_packed_with_its_data_and_a_shell(tmp_path: Path) -> None:
    found = packed(tmp_path, TEEWORLDS)

    assert TEEWORLDS in found
    assert "/bin/sh" in found
    assert any(path.endswith("maps/dm1.map") for path in found)
    assert not any(path.startswith("/usr/share/doc") for path in found)


def test_a_machine_without_the_tools_says_so(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    assert "is not on this machine" in provide_sample(engine)
    assert engine.images() == []


def test_a_program_that_no_package_knows_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(CannotPackError):
        packing.debian_version(str(tmp_path / "unknown"))


def test_image_is_made_once_and_renewed_when_its_content_changes(engine: FakeEngine, recipe: Recipe) -> None:
    first, second = provide(engine, recipe), provide(engine, recipe)
    newer = replace(recipe, content=["2"], pack=lambda packer: ["/other"])
    third = provide(engine, newer)

    assert (first, second, third) == (True, False, True)
    assert set(engine.state.local_images) == {"localhost/test:latest", f"localhost/test:{newer.tag}"}


def test_an_image_that_somebody_else_has_put_there_stays(engine: FakeEngine, recipe: Recipe) -> None:
    engine.state.local_images["localhost/test:latest"] = "sha256:theirs"

    assert not provide(engine, recipe)
    assert engine.state.local_images == {"localhost/test:latest": "sha256:theirs"}


def test_sample_image_is_had_without_a_registry(engine: FakeEngine) -> None:
    assert provide_sample(engine) == ""
    assert f"{SAMPLE_IMAGE}:latest" in engine.state.local_images
    assert engine.calls("pull") == []


@pytest.mark.django_db
def test_only_programs_that_are_installed_become_images(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    TemplateFactory(image="localhost/there", process_program="/bin/sh")
    TemplateFactory(image="localhost/absent", process_program="/nowhere/game")
    TemplateFactory(image="registry.example.org/other", process_program="/bin/sh")
    made: list[str] = []
    monkeypatch.setattr(images, "provide", lambda engine, recipe: not made.append(recipe.image))
    monkeypatch.setattr(images, "debian_version", lambda program: "1")

    images.provide_all(engine)

    assert made == [SAMPLE_IMAGE, "localhost/there"]


@pytest.mark.django_db
def test_servers_are_placed_only_where_their_local_image_is(engine: FakeEngine) -> None:
    template = TemplateFactory(image="localhost/test")
    node = NodeFactory(name="here")
    unknown = template.runs_on(node)
    node_images.report(node, engine)
    without = template.runs_on(node)

    engine.state.local_images["localhost/test:latest"] = "sha256:1"
    node_images.report(node, engine)

    assert (unknown, without, template.runs_on(node)) == (True, False, True)
