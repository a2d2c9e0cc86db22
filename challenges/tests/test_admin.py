"""Challenges in the admin site: what is changed there goes through the services."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import services
from challenges.models import (
    Announcement,
    AnnouncementRead,
    Challenge,
    ChallengeFile,
    Event,
    EventChallenge,
    FileDownload,
    Team,
)
from hub.nodes.tests.factories import RegionFactory

from .factories import (
    ChallengeFactory,
    ContainerFactory,
    EntryFactory,
    EventFactory,
    FlagFactory,
    HintFactory,
    TeamFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(client: Client) -> Client:
    client.force_login(UserFactory(role="Admin", is_staff=True))
    return client


def save(site: Client, row: Any, **changes: Any) -> Any:
    """Post the row's own form with some fields changed."""
    url = reverse(f"admin:challenges_{row._meta.model_name}_change", args=[row.pk])
    form = site.get(url).context["adminform"].form
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    posted: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("starts_at", "ends_at") and name not in changes:
            posted |= {f"{name}_0": f"{value:%Y-%m-%d}", f"{name}_1": f"{value:%H:%M:%S}"}
        elif isinstance(value, list):
            posted[name] = ",".join(str(getattr(each, "pk", each)) for each in value)
        elif value is not None and value is not False:
            posted[name] = value
    for formset in site.get(url).context["inline_admin_formsets"]:
        posted |= {f"{formset.formset.prefix}-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL")}
    return site.post(url, {**posted, **changes})


@pytest.mark.parametrize(
    ("make", "changes", "action"),
    [
        (ChallengeFactory, {"points": 250, "tags": '["web"]'}, "challenge.changed"),
        (EventFactory, {"warn_minutes": 9}, "event.changed"),
        (TeamFactory, {"max_members": 4}, "team.changed"),
        (EntryFactory, {"max_attempts": 3}, "event.challenge_changed"),
    ],
)
def test_rows_are_changed_through_their_services(site: Client, make: Any, changes: dict[str, Any], action: str) -> None:
    row = make()

    answer = save(site, row, **changes)

    name, value = next(iter(changes.items()))
    assert answer.status_code == 302, answer.context["errors"]
    assert model_to_dict(type(row).objects.get(pk=row.pk))[name] == value
    assert AuditEntry.objects.get(action=action).via == "admin"


def test_what_the_service_refuses_stands_in_the_form(site: Client) -> None:
    entry = EntryFactory()
    stranger = EntryFactory()

    answer = save(site, entry, requires=str(stranger.pk))

    assert "is in the same event" in answer.content.decode()
    assert not entry.requires.exists()


def test_actions_move_challenges_and_events(site: Client) -> None:
    draft, event = ChallengeFactory(state="test"), EventFactory(status="running")

    for model, row, verb in ((Challenge, draft, "publish"), (Event, event, "pause")):
        url = reverse(f"admin:challenges_{model._meta.model_name}_changelist")
        site.post(url, {"action": verb, "_selected_action": [str(row.pk)]})

    draft.refresh_from_db()
    event.refresh_from_db()
    assert (draft.state, event.status) == ("published", "paused")


@pytest.mark.parametrize("model", [Challenge, Event, EventChallenge, Team])
def test_they_are_made_and_removed_on_the_pages(site: Client, model: Any) -> None:
    assert site.get(reverse(f"admin:challenges_{model._meta.model_name}_add")).status_code == 403


# What a challenge is made of.


def parts(site: Client, challenge: Challenge, **changes: Any) -> Any:
    """Post the challenge's own page with all its parts, some fields changed; `<prefix>-new` adds a row."""
    url = reverse("admin:challenges_challenge_change", args=[challenge.pk])
    page = site.get(url)
    posted: dict[str, Any] = {}
    for formset in page.context["inline_admin_formsets"]:
        prefix, forms = formset.formset.prefix, formset.formset.forms
        added = 1 if any(name.startswith(f"{prefix}-{len(forms)}-") for name in changes) else 0
        posted |= {f"{prefix}-TOTAL_FORMS": len(forms) + added, f"{prefix}-INITIAL_FORMS": len(forms)}
        for form in forms:
            posted |= filled(form)
    posted |= filled(page.context["adminform"].form)
    return site.post(url, {**posted, **changes})


def filled(form: Any) -> dict[str, Any]:
    values = {form.add_prefix(name): form[name].value() for name in form.fields}
    return {
        name: json.dumps(value) if isinstance(value, list | dict) else value
        for name, value in values.items()
        if value is not None and value is not False and value != ""
    }


@pytest.fixture
def challenge() -> Challenge:
    """Published, with a container, two flags, two hints and a file."""
    challenge = ContainerFactory(challenge__flag="").challenge
    FlagFactory(challenge=challenge, name="first", content="flag{hidden-one}", plant_env="FLAG")
    FlagFactory(challenge=challenge, name="second", content="flag{hidden-two}")
    HintFactory(challenge=challenge, title="Low", position=0)
    HintFactory(challenge=challenge, title="High", position=1)
    services.add_file(challenge, SimpleUploadedFile("notes.txt", b"old"), actor=UserFactory(role="Admin"))
    return challenge


def test_page_of_a_challenge_shows_its_parts_and_no_flag(site: Client, challenge: Challenge) -> None:
    page = site.get(reverse("admin:challenges_challenge_change", args=[challenge.pk])).text

    assert all(word in page for word in ("kutanga/sample", "Low", "notes.txt", "FLAG"))
    assert "hidden-" not in page
    assert "flag{" not in page


def test_parts_are_changed_through_the_service(site: Client, challenge: Challenge) -> None:
    flags = {flag.name: flag.pk for flag in challenge.flags.all()}
    answer = parts(
        site,
        challenge,
        points=300,
        **{
            "containers-0-memory_mb": 512,
            "containers-0-ports": "web 9090 tcp",
            "containers-1-name": "db",
            "containers-1-image": "kutanga/db",
            **dict.fromkeys(("containers-1-memory_mb", "containers-1-disk_mb", "containers-1-pids"), 64),
            "containers-1-cpu_percent": 10,
            "containers-1-health_kind": "none",
            "containers-1-ready_timeout_seconds": 60,
            "flags-0-new_content": "flag{changed}",
            "flags-1-container_name": "db",
            "flags-1-plant_path": "/flag",
        },
    )

    assert answer.status_code == 302, answer.context["errors"]
    challenge.refresh_from_db()
    main, sidecar = challenge.containers.all()
    assert (challenge.points, main.memory_mb, sidecar.name, sidecar.is_main) == (300, 512, "db", False)
    assert [port.number for port in main.ports.all()] == [9090]
    first, second = challenge.flags.all()
    assert {first.name: first.pk, second.name: second.pk} == flags
    assert [flag.content.reveal() for flag in (first, second)] == ["flag{changed}", "flag{hidden-two}"]
    assert second.container == sidecar
    told = [*AuditEntry.objects.values_list(), *LogEntry.objects.values_list()]
    assert "flag{" not in str(told)
    entry = AuditEntry.objects.get(action="challenge.changed")
    assert (entry.via, entry.data["replaced"]) == ("admin", ["containers", "flags"])


def test_hint_that_is_removed_takes_no_other_with_it(site: Client, challenge: Challenge) -> None:
    low, high = challenge.hints.all()

    answer = parts(site, challenge, **{"hints-0-DELETE": "on", "hints-1-cost": 7})

    assert answer.status_code == 302
    assert [(hint.pk, hint.title, hint.cost) for hint in challenge.hints.all()] == [(high.pk, "High", 7)]
    assert not type(low).objects.filter(pk=low.pk).exists()


def test_files_are_added_replaced_and_removed(site: Client, challenge: Challenge) -> None:
    parts(
        site,
        challenge,
        **{
            "files-0-upload": SimpleUploadedFile("other.txt", b"new"),
            "files-1-upload": SimpleUploadedFile("map.bin", b"map"),
        },
    )
    digests = dict(challenge.files.values_list("name", "sha256"))
    parts(site, challenge, **{"files-0-DELETE": "on"})

    assert digests == {
        name: hashlib.sha256(text).hexdigest() for name, text in (("notes.txt", b"new"), ("map.bin", b"map"))
    }
    assert list(challenge.files.values_list("name", flat=True)) == ["notes.txt"]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"containers-0-image": "two words"}, "Container 1, image: Name an image."),
        ({"flags-0-DELETE": "on", "flags-1-DELETE": "on"}, "It has no flag yet."),
        ({"containers-0-ports": "web"}, "write name, number, protocol"),
    ],
)
def test_parts_that_are_refused_change_nothing(
    site: Client, challenge: Challenge, changes: dict[str, Any], refusal: str
) -> None:
    answer = parts(site, challenge, points=300, **changes)

    assert refusal in answer.text
    challenge.refresh_from_db()
    assert (challenge.points, challenge.flags.count()) == (100, 2)
    assert challenge.containers.get().image == "kutanga/sample"


def test_viewer_sees_the_parts_and_changes_none(client: Client, challenge: Challenge) -> None:
    client.force_login(UserFactory(role="Viewer", is_staff=True))
    url = reverse("admin:challenges_challenge_change", args=[challenge.pk])

    page = client.get(url)

    assert page.status_code == 200
    assert "flag{" not in page.text
    assert client.post(url, {"points": 300}).status_code == 403


def test_operator_of_regions_sees_downloads_and_what_is_told_there_only(client: Client) -> None:
    here, there = RegionFactory(), RegionFactory(slug="far-side", name="Far side")
    file = ChallengeFile.objects.create(challenge=ChallengeFactory(), name="cookie.txt", size_bytes=1, sha256="0" * 64)
    for region in (here, there):
        team = TeamFactory(region=region)
        FileDownload.objects.create(file=file, team=team, user_name=f"player-{region.slug}")
        told = Announcement.objects.create(title=f"news-{region.slug}", message="x", region=region)
        AnnouncementRead.objects.create(announcement=told, user=team.captain)
    client.force_login(UserFactory(role="Operator", is_staff=True, regions=[here.slug]))

    for model in ("filedownload", "announcement", "announcementread"):
        page = client.get(reverse(f"admin:challenges_{model}_changelist")).content.decode()
        assert f"-{here.slug}" in page, model
        assert f"-{there.slug}" not in page, model
