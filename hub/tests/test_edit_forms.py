"""Forms of what is there: who sends one changes only what he has changed, and is told where somebody was faster."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django import forms
from django.test import Client
from django.utils.datastructures import MultiValueDict

from accounts.models import User
from challenges.models import Hint
from hub.nodes.models import Node
from hub.pages.forms import SeenMixin
from hub.pages.templatetags.forms import field
from servers.models import TemplateVariable

from .world import World, make_world

pytestmark = pytest.mark.django_db


class Page(HTMLParser):
    """The fields of a page's forms, as a browser sends them when nothing was touched."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.select = self.textarea = ""
        self.depth = 0
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        name, kind = told.get("name", ""), told.get("type", "text")
        if tag == "template":
            self.depth += 1
        elif self.depth:
            return
        elif tag == "form":
            self.forms.append({})
        elif tag == "select":
            self.select = name
            self.forms[-1][name] = []
        elif tag == "option" and "selected" in told:
            self.forms[-1][self.select].append(told.get("value", ""))
        elif tag == "textarea":
            self.textarea = name
            self.forms[-1][name] = [""]
        elif tag == "input" and name and (kind not in ("checkbox", "radio") or "checked" in told):
            self.forms[-1].setdefault(name, []).append(told.get("value", "on" if kind == "checkbox" else ""))

    def handle_data(self, data: str) -> None:
        if self.textarea and not self.depth:
            self.forms[-1][self.textarea][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self.depth -= 1
        elif tag == "textarea":
            name, self.textarea = self.textarea, ""
            if name and not self.depth and (text := self.forms[-1][name][0]).startswith("\n"):
                self.forms[-1][name] = [text[1:]]

    def form_with(self, *names: str) -> dict[str, list[str]]:
        return next(each for each in self.forms if set(names) <= set(each))


def person(_world: World) -> User:
    found: User = User.objects.get(username="stranger")
    return found


def of_template(world: World) -> TemplateVariable:
    return TemplateVariable.objects.get(template=world.template)


def second_hint(world: World) -> Hint:
    hint: Hint = world.entry.challenge.hints.create(title="Second", content="Second", position=1)
    return hint


# The page, what is typed into it, the row that somebody changes meanwhile, how, and what holds then besides.
EDITS: tuple[tuple[str, dict[str, str], Callable[[World], Any], dict[str, Any], dict[str, Any]], ...] = (
    ("/nodes/local/edit", {"memory_mb": "9000"}, lambda w: w.node, {"cpu_percent": 700, "is_draining": True},
     {"memory_mb": 9000}),
    ("/nodes/cluster/edit", {"cluster-check_image": "own:1"}, lambda w: w.cluster, {"options": {"egress": False}},
     {"options": {"egress": False, "check_image": "own:1"}}),
    ("/alert-rules/{rule.pk}/edit", {"threshold": "50"}, lambda w: w.rule, {"name": "Theirs", "is_enabled": False},
     {"threshold": 50}),
    ("/channels/{delivery.channel_id}/edit", {"name": "ours"}, lambda w: w.delivery.channel,
     {"least_severity": "critical"}, {"name": "ours"}),
    ("/users/{person.pk}", {"first_name": "Rudo"}, person, {"last_name": "Moyo"}, {"first_name": "Rudo"}),
    ("/profile", {"first_name": "Rudo"}, lambda w: w.person("admin"), {"last_name": "Moyo"}, {"first_name": "Rudo"}),
    ("/events/night-of-flags/edit", {"description": "Ours, and long."}, lambda w: w.entry.event,
     {"max_participants": 77, "is_public": True}, {"description": "Ours, and long."}),
    ("/events/night-of-flags/challenges/{entry.pk}/edit", {"points_override": "70"}, lambda w: w.entry,
     {"max_attempts": 3}, {"points_override": 70}),
    ("/challenges/leaky-shop/edit", {"author": "Ours"}, lambda w: w.entry.challenge,
     {"points": 70, "description": "Theirs, of\ntwo lines."}, {"author": "Ours"}),
    ("/challenges/leaky-shop/edit", {"hints-0-title": "Ours"}, second_hint, {"cost": 9, "content": "Theirs"}, {}),
    ("/teams/{team.pk}/edit", {"description": "Ours"}, lambda w: w.team, {"is_locked": True}, {"description": "Ours"}),
    ("/devices/{device.pk}/edit", {"notes": "Ours"}, lambda w: w.device, {"tags": ["theirs"]}, {"notes": "Ours"}),
    ("/device-groups/canaries/edit", {"name": "Ours"}, lambda w: w.device_group, {"priority": 7}, {"name": "Ours"}),
    ("/templates/sample/edit", {"game": "Ours"}, lambda w: w.template,
     {"description": "theirs", "default_memory_mb": 1536}, {"game": "Ours"}),
    ("/templates/sample/edit", {"game": "Ours"}, of_template, {"default": "theirs"}, {}),
)  # fmt: skip


@pytest.mark.parametrize(("path", "typed", "row_of", "meanwhile", "after"), EDITS)
def test_what_was_not_changed_stays_as_somebody_else_has_set_it(
    client: Client,
    path: str,
    typed: dict[str, Any],
    row_of: Callable[[World], Any],
    meanwhile: dict[str, Any],
    after: dict[str, Any],
) -> None:
    world = make_world()
    client.force_login(world.person("admin"))
    row = row_of(world)
    path = path.format(person=person(world), **vars(world))
    page = Page(client.get(path).content.decode()).form_with(*typed)
    type(row).objects.filter(pk=row.pk).update(**meanwhile)

    answer = client.post(path, {**page, **typed})

    assert answer.status_code == 302, answer.context["form"].errors
    row = type(row).objects.get(pk=row.pk)
    assert {name: getattr(row, name) for name in {**meanwhile, **after}} == {**meanwhile, **after}


def test_a_template_does_not_lose_settings_that_both_have_changed(client: Client) -> None:
    world = make_world()
    client.force_login(world.person("admin"))
    page = Page(client.get("/templates/sample/edit").content.decode()).form_with("variables-0-key")
    TemplateVariable.objects.update(label="theirs")

    answer = client.post("/templates/sample/edit", {**page, "variables-0-default": "ours"})

    assert answer.status_code == 422
    assert b"Somebody has changed the settings meanwhile" in answer.content
    assert of_template(world).default != "ours"


def test_a_challenge_does_not_lose_what_others_have_added(client: Client) -> None:
    world = make_world()
    client.force_login(world.person("admin"))
    path = "/challenges/leaky-shop/edit"
    page = Page(client.get(path).content.decode()).form_with("hints-0-title")
    world.entry.challenge.hints.create(title="Theirs", content="Theirs")

    answer = client.post(path, {**page, "hints-0-title": "Ours"})

    assert b"Somebody has added or removed a hint meanwhile" in answer.content
    assert set(world.entry.challenge.hints.values_list("title", flat=True)) == {"", "Theirs"}


class SampleForm(SeenMixin, forms.Form):
    name = forms.CharField()
    kind = forms.ChoiceField(choices=(("a", "Apples"), ("b", "Pears"), ("c", "Plums")))
    days = forms.MultipleChoiceField(
        choices=(("1", "Monday"), ("2", "Tuesday")), required=False, widget=forms.CheckboxSelectMultiple
    )


BEFORE = {"name": "one", "kind": "a", "days": ["1"]}
SHOWN = {"initial-name": ["one"], "initial-kind": ["a"], "initial-days": ["1"]}


def sent(now: dict[str, Any], **typed: Any) -> SampleForm:
    values = {name: value if isinstance(value, list) else [value] for name, value in {**BEFORE, **typed}.items()}
    return SampleForm(MultiValueDict({**SHOWN, **values}), initial=now)


def test_where_both_have_changed_the_same_the_field_says_what_stands_there_now() -> None:
    form = sent({**BEFORE, "kind": "b", "days": ["1", "2"]}, kind="c", days=[])

    assert form.errors["kind"] == ["Somebody has changed this meanwhile to: Pears. Save again to overwrite it."]
    assert "Monday, Tuesday" in form.errors["days"][0]


def test_what_is_in_conflict_is_overwritten_by_saving_again() -> None:
    now = {**BEFORE, "name": "two"}
    form = sent(now, name="ours")
    assert not form.is_valid()
    shown = Page(f"<form>{''.join(str(field(form[name])['control']) for name in ('name', 'kind'))}</form>").forms[0]

    again = SampleForm(MultiValueDict({**shown, "days": ["1"], "initial-days": ["1"]}), initial=now)

    assert again.is_valid()
    assert again.changes() == {"name": "ours"}


def test_both_may_have_changed_it_alike() -> None:
    assert sent({**BEFORE, "kind": "c"}, kind="c").is_valid()


def test_a_form_without_what_was_shown_means_all_it_says() -> None:
    form = SampleForm(MultiValueDict({"name": ["x"], "kind": ["a"]}), initial={**BEFORE, "name": "y"})

    assert form.is_valid()
    assert form.changes() == {"name": "x", "kind": "a", "days": []}


@pytest.mark.parametrize(("required", "word"), [(True, "Choose…"), (False, "None")])
def test_an_empty_choice_is_a_word(required: bool, word: str) -> None:
    class NodeChoice(forms.Form):
        node = forms.ModelChoiceField(Node.objects.none(), required=required)

    assert f">{word}</option>" in field(NodeChoice()["node"])["control"]
