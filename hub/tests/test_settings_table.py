"""The configuration page of the docs."""

from __future__ import annotations

import pytest
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
