"""The configuration page of the docs."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from hub.env import Variable
from hub.management.commands import settings_table


def test_docs_hold_what_the_settings_declare() -> None:
    call_command("settings_table", check=True)


def test_every_variable_has_its_help() -> None:
    assert [variable.name for variable in settings_table.env.declared.values() if not variable.help] == []


def test_page_out_of_date_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_table.env.declared, "HUB_NEW", Variable("HUB_NEW", "text", "", "New."))

    with pytest.raises(CommandError, match="out of date"):
        call_command("settings_table", check=True)


def test_bars_do_not_break_the_table() -> None:
    page = settings_table.table([Variable("A", "x | y", "", "One | two.")])

    assert page.endswith("| `A` | x \\| y |  | One \\| two. |\n")


def test_variables_that_deployment_names_are_declared() -> None:
    page = (settings.BASE_DIR / "docs" / "deployment.md").read_text()
    named = {*re.findall(r"`((?:HUB_|DATABASE_|REDIS_)[A-Z_]+)[`=]", page)}

    assert len(named) > 15
    assert named - settings_table.env.declared.keys() == set()


@pytest.mark.parametrize("asked", ["Platform services", "Three zones with Terraform", "Shipping logs", "Further nodes"])
def test_deployment_says_how_for_each_place_that_was_asked_for(asked: str) -> None:
    assert f"\n## {asked}\n" in (settings.BASE_DIR / "docs" / "deployment.md").read_text()
