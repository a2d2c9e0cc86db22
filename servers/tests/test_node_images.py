"""Images of a node: who needs each, what a removal would take, and what is refused."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry, User
from hub.engines.fake import FAKE_IMAGE_BYTES, FakeEngine
from hub.exceptions import Conflict, Invalid, NotAllowed
from hub.nodes import chores, images
from hub.nodes.choices import OperationStatus
from hub.nodes.models import Node, NodeTask
from hub.nodes.reconcile import reconcile
from hub.nodes.tests.factories import NodeFactory
from servers.models import GameServer

from .conftest import Games
from .factories import TemplateFactory, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(node: Node, engine: FakeEngine, games: Games) -> None:
    """One image a server runs from, one that only a template names, two that nobody needs."""
    server = make_server(node=node, template=TemplateFactory(name="Used", image="game/used"))
    TemplateFactory(name="Named", image="game/named:2")
    engine.state.local_images |= {"game/named:2": "sha256:named", "old:1": "sha256:old1", "old:2": "sha256:old2"}
    reconcile(GameServer, server.pk, engine=engine)
    images.report(node, engine)


def done(task: NodeTask, engine: FakeEngine) -> NodeTask:
    chores.do_task(task.pk, engine=engine)
    task.refresh_from_db()
    return task


@pytest.mark.usefixtures("shelf")
def test_shelf_says_who_needs_each_image(node: Node) -> None:
    found = {image.title: image.needed_by for image in images.shelf(node).images}

    assert found["game/named:2"] == "template Named"
    assert found["game/used"].startswith("template Used, hub-server-")
    assert found["old:1"] == ""


@pytest.mark.usefixtures("shelf")
def test_preview_shows_what_would_go_and_how_much(node: Node) -> None:
    preview = images.preview_removal(node)

    assert {image.title for image in preview.images} == {"old:1", "old:2"}
    assert preview.size_mb == 2 * FAKE_IMAGE_BYTES / 2**20


@pytest.mark.usefixtures("shelf")
def test_unused_images_are_removed_and_the_shelf_is_up_to_date(node: Node, engine: FakeEngine, admin: User) -> None:
    task = done(images.ask_removal(node, actor=admin), engine)

    assert (task.status, task.message) == (OperationStatus.DONE, "2 removed, up to 20 MiB free.")
    assert {image.title for image in images.shelf(node).images} == {"game/used", "game/named:2"}
    assert AuditEntry.objects.get(action="node.images_removed").data["images"] == ["old:1", "old:2"]


@pytest.mark.usefixtures("shelf")
def test_an_image_that_is_needed_is_refused_with_who_needs_it(node: Node, admin: User) -> None:
    with pytest.raises(Conflict, match="template Named"):
        images.ask_removal(node, actor=admin, ids=["sha256:named"])
    with pytest.raises(Invalid):
        images.ask_removal(node, actor=admin, ids=["sha256:unknown"])


@pytest.mark.usefixtures("shelf")
def test_an_image_that_has_become_needed_meanwhile_stays(node: Node, engine: FakeEngine, admin: User) -> None:
    task = images.ask_removal(node, actor=admin, ids=["sha256:old1"])
    TemplateFactory(name="Late", image="old:1")

    done(task, engine)

    assert task.status == OperationStatus.FAILED
    assert "template Late" in task.message
    assert "old:1" in engine.state.local_images


def test_an_image_is_fetched_ahead(node: Node, engine: FakeEngine, admin: User) -> None:
    task = done(images.ask_pull(node, actor=admin, image=" nginx:1 "), engine)

    assert task.message.startswith("It is here: sha256:")
    assert [image.title for image in images.shelf(node).images] == ["nginx:1"]


@pytest.mark.parametrize("name", ["", "two words", "-rm", "a\nb", "x" * 300])
def test_what_cannot_name_an_image_is_refused(node: Node, admin: User, name: str) -> None:
    with pytest.raises(Invalid):
        images.ask_pull(node, actor=admin, image=name)


def test_only_who_changes_nodes_pulls_and_removes(node: Node, operator: User) -> None:
    with pytest.raises(NotAllowed):
        images.ask_pull(node, actor=operator, image="nginx")
    with pytest.raises(NotAllowed):
        images.ask_removal(node, actor=operator)


def test_a_node_without_images_says_so(admin: User) -> None:
    with pytest.raises(Conflict, match="no images"):
        images.ask_list(NodeFactory(engine="process"), actor=admin)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("nginx", "nginx:latest"),
        ("docker.io/library/nginx:1", "nginx:1"),
        ("docker.io/acme/game", "acme/game:latest"),
        ("registry.example.org:5000/game", "registry.example.org:5000/game:latest"),
        ("game@sha256:00", "game@sha256:00"),
    ],
)
def test_names_are_compared_as_the_engine_lists_them(name: str, plain: str) -> None:
    assert images.plain_name(name) == plain
