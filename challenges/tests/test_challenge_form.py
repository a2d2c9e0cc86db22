"""The organiser's page of a challenge: containers, flags and hints in rows, with and without scripts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges.fields import LinesField, PortsField, VariablesField
from challenges.models import Challenge

from .factories import ChallengeFactory, ContainerFactory, FlagFactory, HintFactory

NEW = "/challenges/new"
FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.text('ab1=#é \t\n\r\x0b\x0c\x1c\x85\u2028\xa0"\\', max_size=12)  # what lines and quotes may stumble over


@pytest.fixture
def organiser(client: Client, db: Any) -> Client:
    client.force_login(UserFactory(role="Operator"))
    return client


@pytest.fixture
def challenge(db: Any) -> Challenge:
    """Published, with a container, two flags and a hint."""
    challenge = ContainerFactory(challenge__flag="").challenge
    FlagFactory(challenge=challenge, name="first", content="flag{hidden-one}", plant_env="FLAG")
    FlagFactory(challenge=challenge, name="second", content="flag{hidden-two}", position=1)
    HintFactory(challenge=challenge, title="Low")
    return challenge


def filled(page: Any) -> dict[str, Any]:
    """What a browser sends of a page as it stands."""
    forms = [page.context["form"]]
    sent: dict[str, Any] = {}
    for each in page.context["parts"].sets.values():
        forms += [each.management_form, *each.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False and value != "":
                sent[bound.html_name] = value
    return sent


def edit(client: Client, challenge: Challenge | None, **changes: Any) -> Any:
    path = f"/challenges/{challenge.slug}/edit" if challenge else NEW
    return client.post(path, {**filled(client.get(path)), **changes})


def errors_of(answer: Any, part: str, row: int) -> dict[str, list[str]]:
    return dict(answer.context["parts"].sets[part].forms[row].errors)


def test_challenge_is_made_with_several_containers_flags_and_hints(organiser: Client) -> None:
    answer = edit(
        organiser,
        None,
        **{
            "name": "Open door",
            "description": "It is **open**.",
            "kind": "container",
            "flag_logic": "all",
            "tags": "web, easy",
            "containers-TOTAL_FORMS": 2,
            "containers-0-name": "web",
            "containers-0-image": "nginx:1",
            "containers-0-command": 'sh\n-c\n"sleep 1\\nexec nginx"',
            "containers-0-env": "MODE=prod\nEMPTY=",
            "containers-0-ports": "http 80\nmetrics 9000 TCP internal",
            "containers-1-name": "db",
            "containers-1-image": "postgres:18",
            **{f"containers-1-{name}": 128 for name in ("memory_mb", "disk_mb", "pids", "ready_timeout_seconds")},
            "containers-1-cpu_percent": 20,
            "containers-1-health_kind": "none",
            "flags-TOTAL_FORMS": 2,
            "flags-0-name": "user",
            "flags-0-new_content": "flag{open sesame}",
            "flags-1-name": "root",
            "flags-1-kind": "team",
            "flags-1-new_content": "crypto-TRI{flag_placeholder}",
            "flags-1-container_name": "db",
            "flags-1-plant_path": "/flag",
            "hints-0-content": "Push.",
            "hints-0-cost": 5,
            "hints-0-kind": "toast",
        },
    )

    assert answer.status_code == 302, [each.errors for each in answer.context["parts"].sets.values()]
    challenge = Challenge.objects.get()
    web, db = challenge.containers.all()
    assert (web.name, web.is_main, db.name, db.is_main) == ("web", True, "db", False)
    assert web.command == ["sh", "-c", "sleep 1\nexec nginx"]
    assert web.env == {"MODE": "prod", "EMPTY": ""}
    ports = list(web.ports.values_list("name", "number", "protocol", "is_public"))
    assert ports == [("http", 80, "http", True), ("metrics", 9000, "tcp", False)]
    user, root = challenge.flags.all()
    assert (user.content.reveal(), root.kind, root.container) == ("flag{open sesame}", "team", db)
    assert (challenge.flag_logic, challenge.tags) == ("all", ["web", "easy"])
    assert [(hint.content, hint.cost, hint.kind) for hint in challenge.hints.all()] == [("Push.", 5, "toast")]


def test_page_as_it_stands_changes_nothing_and_tells_no_flag(organiser: Client, challenge: Challenge) -> None:
    page = organiser.get(f"/challenges/{challenge.slug}/edit")

    answer = edit(organiser, challenge)

    assert answer.status_code == 302
    assert "hidden-" not in page.text
    assert AuditEntry.objects.get(action="challenge.changed").data["replaced"] == []
    assert [flag.content.reveal() for flag in challenge.flags.all()] == ["flag{hidden-one}", "flag{hidden-two}"]


def test_rows_are_added_without_scripts_and_nothing_is_stored(organiser: Client, challenge: Challenge) -> None:
    answer = edit(organiser, challenge, add="flags", name="Typed so far")

    assert answer.status_code == 200
    assert len(answer.context["parts"].sets["flags"].forms) == 4  # two, the empty one, and one more
    assert "Typed so far" in answer.text
    assert 'name="flags-3-new_content"' in answer.text
    challenge.refresh_from_db()
    assert challenge.name != "Typed so far"


@pytest.mark.parametrize("total", ["", "x", "²", "9" * 5000])
def test_nonsense_in_the_place_of_a_number_of_rows_is_an_answer(organiser: Client, total: str) -> None:
    answers = [organiser.post(NEW, {"flags-TOTAL_FORMS": total, **more}) for more in ({}, {"add": "flags"})]

    assert [answer.status_code for answer in answers] == [422, 200]


def test_rows_are_removed(organiser: Client, challenge: Challenge) -> None:
    answer = edit(organiser, challenge, **{"flags-0-DELETE": "on", "hints-0-DELETE": "on"})

    assert answer.status_code == 302
    assert [flag.name for flag in challenge.flags.all()] == ["second"]
    assert not challenge.hints.exists()


def test_last_flag_of_a_published_challenge_stays(organiser: Client, challenge: Challenge) -> None:
    answer = edit(organiser, challenge, **{"flags-0-DELETE": "on", "flags-1-DELETE": "on"})

    assert answer.status_code == 422
    assert "It has no flag yet." in answer.text
    assert challenge.flags.count() == 2


@pytest.mark.parametrize(
    ("changes", "part", "row", "field"),
    [
        ({"containers-0-image": "two words"}, "containers", 0, "image"),
        ({"containers-0-image": ""}, "containers", 0, "image"),
        ({"containers-0-env": "lower=1"}, "containers", 0, "env"),
        ({"containers-0-env": "NOTHING"}, "containers", 0, "env"),
        ({"containers-0-ports": "web"}, "containers", 0, "ports"),
        ({"containers-0-ports": "web 99999999"}, "containers", 0, "ports"),
        ({"containers-0-ports": "web 80 smtp"}, "containers", 0, "ports"),
        ({"containers-0-command": '"open'}, "containers", 0, "command"),
        ({"containers-0-memory_mb": 1}, "containers", 0, "memory_mb"),
        ({"flags-1-kind": "team", "flags-1-new_content": "no place"}, "flags", 1, "new_content"),
        ({"flags-2-name": "third"}, "flags", 2, "new_content"),
        ({"flags-1-container_name": "none"}, "flags", 1, "container_name"),
        ({"flags-1-plant_env": "lower"}, "flags", 1, "plant_env"),
        ({"flags-0-DELETE": "on", "flags-1-plant_env": "lower"}, "flags", 1, "plant_env"),
        ({"hints-0-content": ""}, "hints", 0, "content"),
    ],
)
def test_refusal_stands_beside_its_field_and_nothing_is_stored(
    organiser: Client, challenge: Challenge, changes: dict[str, Any], part: str, row: int, field: str
) -> None:
    answer = edit(organiser, challenge, points=300, **changes)

    assert answer.status_code == 422
    assert list(errors_of(answer, part, row)) == [field]
    challenge.refresh_from_db()
    assert (challenge.points, challenge.flags.count()) == (100, 2)


def test_what_was_typed_comes_back_but_no_flag(organiser: Client, challenge: Challenge) -> None:
    answer = edit(
        organiser,
        challenge,
        **{"flags-0-new_content": "flag{typed}", "containers-0-ports": "web eighty", "name": "X Y"},
    )

    assert answer.status_code == 422
    assert "web eighty" in answer.text
    assert "X Y" in answer.text
    assert "flag{typed}" not in answer.text


def test_two_of_a_name_are_refused(organiser: Client, challenge: Challenge) -> None:
    answer = edit(organiser, challenge, **{"flags-1-name": "first"})

    assert answer.status_code == 422
    assert challenge.flags.count() == 2


def test_two_main_containers_are_refused(organiser: Client, challenge: Challenge) -> None:
    new = {f"containers-1-{name}": 128 for name in ("memory_mb", "disk_mb", "pids", "ready_timeout_seconds")}
    answer = edit(
        organiser,
        challenge,
        **new,
        **{
            "containers-1-name": "db",
            "containers-1-image": "kutanga/db",
            "containers-1-is_main": "on",
            "containers-1-cpu_percent": 10,
            "containers-1-health_kind": "none",
        },
    )

    assert answer.status_code == 422
    assert "One container is the main one" in answer.text


def test_parts_of_another_challenge_are_out_of_reach(organiser: Client, challenge: Challenge) -> None:
    theirs = ChallengeFactory(flag="")
    flag, hint = FlagFactory(challenge=theirs, content="flag{theirs}"), HintFactory(challenge=theirs, content="Theirs.")

    edit(
        organiser,
        challenge,
        **{
            "flags-0-id": flag.pk,
            "flags-0-new_content": "flag{mine}",
            "hints-0-id": hint.pk,
            "hints-0-content": "Mine.",
        },
    )

    flag.refresh_from_db()
    hint.refresh_from_db()
    assert (flag.content.reveal(), hint.content) == ("flag{theirs}", "Theirs.")


@FUZZ
@given(st.lists(TEXTS, max_size=5))
def test_lists_read_what_they_write(texts: list[str]) -> None:
    field = LinesField(required=False)

    assert field.to_python(field.prepare_value(texts)) == texts


@FUZZ
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), TEXTS, max_size=5))
def test_tables_read_what_they_write(table: dict[str, str]) -> None:
    field = VariablesField(required=False)

    assert field.to_python(field.prepare_value(table)) == table


def test_ports_read_what_they_write() -> None:
    field = PortsField(required=False)
    text = "web 8080 http\nadmin 9000 tcp internal"

    assert field.prepare_value(field.to_python(text)) == text
