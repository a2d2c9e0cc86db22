"""Pulls from a real daemon against a small registry, and what is kept and removed on the node."""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hub.engines.base import EngineError, PullProgress, Reason, WorkloadSpec
from hub.engines.docker import pin

from .docker_helpers import Lab
from .docker_images import image
from .registry import Registry, registry

pytestmark = [pytest.mark.docker, pytest.mark.slow]

MIB = 1024**2


@pytest.fixture
def shop() -> Iterator[Registry]:
    with registry() as state:
        yield state


@pytest.fixture
def lab(shop: Registry) -> Iterator[Lab]:
    """An engine whose credentials are for one path of the registry; all images of that registry go afterwards."""
    entry = {"registry": f"{shop.host}/team", "username": "hub", "password": "right-password"}
    lab = Lab(credentials={"registries": [entry]})
    yield lab
    lab.close()
    for found in lab.engine.images():
        if any(name.startswith(shop.host) for name in found.names):
            lab.engine.remove_images([found.id])


def content(megabytes: float = 0.0) -> dict[str, bytes]:
    """Files that no other image has."""
    return {"who": uuid.uuid4().bytes, "ballast": os.urandom(int(megabytes * MIB))}


def told() -> tuple[list[PullProgress], Callable[[PullProgress], bool]]:
    """A list that fills with what a pull reports."""
    events: list[PullProgress] = []

    def note(event: PullProgress) -> bool:
        events.append(event)
        return True

    return events, note


class TestPull:
    def test_pull_tells_how_far_it_is_and_returns_the_digest(self, lab: Lab, shop: Registry):
        digest = shop.publish("game", "1", content(megabytes=4))
        shop.chunk_seconds = 0.05
        events, note = told()

        pulled = lab.engine.pull(f"{shop.host}/game:1", progress=note)

        assert pulled == digest
        percents = [event.percent for event in events if event.percent is not None]
        assert percents == sorted(percents)
        assert len(set(percents)) >= 3
        assert "layers" in events[-1].message

    def test_pinned_image_on_the_node_is_not_asked_for(self, lab: Lab, shop: Registry):
        name = f"{shop.host}/game:1"
        shop.publish("game", "1", content())
        digest = lab.engine.pull(name, progress=lambda event: True)
        shop.requests.clear()

        again = lab.engine.pull(pin(name, digest), progress=lambda event: True)

        assert again == digest
        assert shop.requests == []

    def test_tag_that_moved_is_followed_and_the_pinned_one_stays(self, lab: Lab, shop: Registry):
        name = f"{shop.host}/game:1"
        shop.publish("game", "1", content())
        first = lab.engine.pull(name, progress=lambda event: True)
        shop.publish("game", "1", content())

        second = lab.engine.pull(name, progress=lambda event: True)

        assert first != second
        assert lab.engine.pull(pin(name, first), progress=lambda event: True) == first

    def test_image_made_on_the_node_needs_no_registry(self, lab: Lab, shop: Registry):
        name = f"{shop.host}/local:1"
        lab.api.tag(image("busybox"), f"{shop.host}/local", "1")

        digest = lab.engine.pull(name, progress=lambda event: True)

        assert shop.requests == []
        spec = lab.script("cat /proc/1/comm", data_path="")
        seen = lab.engine.ensure(_with_image(spec, pin(name, digest)))
        assert seen.image_digest == digest
        assert seen.image == pin(name, digest)

    def test_image_that_no_registry_has_is_refused_for_good(self, lab: Lab, shop: Registry):
        with pytest.raises(EngineError) as refused:
            lab.engine.pull(f"{shop.host}/nothing:1", progress=lambda event: True)

        assert (refused.value.reason, refused.value.permanent) == (Reason.IMAGE_MISSING, True)

    def test_failed_pull_uses_the_image_that_is_here_and_says_so(self, lab: Lab, shop: Registry):
        name = f"{shop.host}/game:1"
        shop.publish("game", "1", content())
        digest = lab.engine.pull(name, progress=lambda event: True)
        shop.is_broken = True
        events, note = told()

        again = lab.engine.pull(name, progress=note)

        assert again == digest
        assert "Using the image that is on the node" in events[-1].message

    def test_failed_pull_without_a_local_image_is_tried_again(self, lab: Lab, shop: Registry):
        shop.publish("game", "1", content())
        shop.is_broken = True

        with pytest.raises(EngineError) as refused:
            lab.engine.pull(f"{shop.host}/game:1", progress=lambda event: True)

        assert (refused.value.reason, refused.value.permanent) == (Reason.IMAGE_MISSING, False)

    @pytest.mark.parametrize("moment", ["before the first word", "in the middle"])
    def test_pull_ends_at_its_deadline(self, lab: Lab, shop: Registry, moment: str):
        shop.publish("game", "1", content(megabytes=4))
        shop.is_silent = moment == "before the first word"
        shop.chunk_seconds = 1
        begun = time.monotonic()

        with pytest.raises(EngineError) as refused:
            lab.engine.pull(f"{shop.host}/game:1", progress=lambda event: True, deadline_seconds=2)

        shop.is_silent = False
        assert (refused.value.reason, refused.value.permanent) == (Reason.TIMED_OUT, False)
        assert time.monotonic() - begun < 30

    def test_pull_of_which_nothing_comes_ends_before_its_deadline(
        self, lab: Lab, shop: Registry, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("hub.engines.docker.images.PATIENCE_SECONDS", 0.2)
        monkeypatch.setattr("hub.engines.docker.images.WORTH_TELLING_SECONDS", 0.1)
        monkeypatch.setattr("hub.engines.docker.images.SILENT_SECONDS", 1.0)
        shop.publish("game", "1", content())
        shop.is_silent = True
        events: list[PullProgress] = []

        with pytest.raises(EngineError, match="nothing has come for") as refused:
            lab.engine.pull(f"{shop.host}/game:1", progress=lambda event: events.append(event) or True)

        shop.is_silent = False
        assert (refused.value.reason, refused.value.permanent) == (Reason.IMAGE_MISSING, False)
        assert events[-1].message.startswith("Asking the registry: nothing has come for")

    @pytest.mark.parametrize("is_silent", [True, False], ids=["silent registry", "slow registry"])
    def test_pull_is_given_up_when_nobody_wants_it_any_more(self, lab: Lab, shop: Registry, is_silent: bool):
        shop.publish("game", "1", content(megabytes=4))
        shop.is_silent = is_silent
        shop.chunk_seconds = 1
        begun = time.monotonic()

        with pytest.raises(EngineError) as refused:
            lab.engine.pull(f"{shop.host}/game:1", progress=lambda event: time.monotonic() - begun < 1)

        shop.is_silent = False
        assert refused.value.reason is Reason.CANCELLED
        assert time.monotonic() - begun < 30


class TestCredentials:
    def test_credentials_open_the_repository_they_are_for(self, lab: Lab, shop: Registry):
        digest = shop.publish("team/game", "1", content())
        shop.credentials["team"] = "hub:right-password"

        assert lab.engine.pull(f"{shop.host}/team/game:1", progress=lambda event: True) == digest

    def test_credentials_are_not_shown_to_a_repository_that_only_sounds_alike(self, lab: Lab, shop: Registry):
        shop.publish("team-evil/game", "1", content())
        shop.credentials["team-evil"] = "somebody:else"

        with pytest.raises(EngineError) as refused:
            lab.engine.pull(f"{shop.host}/team-evil/game:1", progress=lambda event: True)

        assert (refused.value.reason, refused.value.permanent) == (Reason.IMAGE_MISSING, True)
        assert shop.requests
        secret = base64.b64encode(b"hub:right-password").decode()
        assert [path for path, given in shop.shown if secret in given] == []

    def test_password_is_in_no_message(self, lab: Lab, shop: Registry):
        shop.publish("team/game", "1", content())
        shop.credentials["team"] = "hub:another-password"

        with pytest.raises(EngineError) as refused:
            lab.engine.pull(f"{shop.host}/team/game:1", progress=lambda event: True)

        assert "password" not in str(refused.value)
        assert "credentials" in str(refused.value)


class TestImagesOnTheNode:
    def test_list_says_who_uses_an_image(self, lab: Lab, shop: Registry):
        name = _tagged(lab, shop)
        spec = _with_image(lab.script("sleep 300"), name)
        lab.engine.ensure(spec)
        lab.engine.kill(spec.name)

        (found,) = [one for one in lab.engine.images() if name in one.names]

        assert spec.name in found.used_by
        assert found.size_bytes > MIB
        assert found.created_at is not None

    def test_image_in_use_stays(self, lab: Lab, shop: Registry):
        name = _tagged(lab, shop)
        spec = _with_image(lab.script("sleep 300"), name)
        lab.engine.ensure(spec)
        (found,) = [one for one in lab.engine.images() if name in one.names]

        answers = lab.engine.remove_images([found.id])

        assert spec.name in answers[found.id]
        assert name in {each for one in lab.engine.images() for each in one.names}

    def test_unused_image_goes_with_all_its_names(self, lab: Lab, shop: Registry):
        shop.publish("game", "1", content())
        digest = lab.engine.pull(f"{shop.host}/game:1", progress=lambda event: True)
        lab.api.tag(f"{shop.host}/game:1", f"{shop.host}/other", "2")
        (found,) = [one for one in lab.engine.images() if f"{shop.host}/game:1" in one.names]

        answers = lab.engine.remove_images([found.id, "sha256:" + "0" * 64])

        assert set(answers.values()) == {""}
        assert found.id not in {one.id for one in lab.engine.images()}
        assert digest


def _tagged(lab: Lab, shop: Registry) -> str:
    """An image of this node under a name of this test's own, but with an id of its own too."""
    shop.publish("shell", "1", content(megabytes=1))
    name = f"{shop.host}/shell:1"
    lab.engine.pull(name, progress=lambda event: True)
    return name


def _with_image(spec: WorkloadSpec, name: str) -> WorkloadSpec:
    return replace(spec, image=name)
