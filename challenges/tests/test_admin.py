"""Challenges in the admin site: what is changed there goes through the services."""

from __future__ import annotations

from typing import Any

import pytest
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges.models import Challenge, Event, EventChallenge, Team

from .factories import ChallengeFactory, EntryFactory, EventFactory, TeamFactory

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
