"""Values of template variables: typed, bounded, in one place."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from hub.exceptions import Invalid
from servers import variables
from servers.models import TemplateVariable
from servers.tests.factories import TemplateFactory, VariableFactory


def variable(**values: Any) -> TemplateVariable:
    return TemplateVariable(**{"key": "SETTING", "label": "Setting", **values})


@pytest.mark.parametrize(
    ("made", "given", "stored"),
    [
        ({}, "plain text", "plain text"),
        ({}, "", ""),
        ({}, "'; DROP TABLE servers; -- $(reboot) {{SERVER_IP}}", "'; DROP TABLE servers; -- $(reboot) {{SERVER_IP}}"),
        ({"pattern": "[a-z]+"}, "abc", "abc"),
        ({"kind": "integer", "minimum": 1, "maximum": 9}, 5, "5"),
        ({"kind": "integer"}, "-12", "-12"),
        ({"kind": "boolean"}, True, "true"),
        ({"kind": "boolean"}, "No", "false"),
        ({"kind": "choice", "choices": ["a", "b"]}, "b", "b"),
        ({"kind": "secret"}, "Abcdefgh1234", "Abcdefgh1234"),
    ],
)
def test_good_values_are_stored_as_the_environment_takes_them(made: dict[str, Any], given: Any, stored: str) -> None:
    assert variables.parse(variable(**made), given) == stored


@pytest.mark.parametrize(
    ("made", "given"),
    [
        ({}, "two\nlines"),
        ({}, "bell\x07"),
        ({}, 7),
        ({"maximum": 3}, "four"),
        ({"minimum": 3}, "ab"),
        ({"pattern": "[a-z]+"}, "abc1"),
        ({"kind": "integer"}, "seven"),
        ({"kind": "integer"}, True),
        ({"kind": "integer"}, 1.5),
        ({"kind": "integer", "minimum": 1}, 0),
        ({"kind": "integer", "maximum": 9}, 10),
        ({"kind": "integer"}, 2**40),
        ({"kind": "boolean"}, "maybe"),
        ({"kind": "boolean"}, ["true"]),
        ({"kind": "choice", "choices": ["a"]}, "c"),
        ({"kind": "secret"}, "short1"),
        ({"kind": "secret"}, "with space 123"),
    ],
)
def test_bad_values_are_refused(made: dict[str, Any], given: Any) -> None:
    with pytest.raises(ValueError, match=r"needed|allowed|most|least|one of"):
        variables.parse(variable(**made), given)


def test_missing_values_are_the_defaults_and_missing_secrets_are_made() -> None:
    offered = [variable(key="MOTD", default="hello"), variable(key="TOKEN_A", kind="secret")]

    settled = variables.settle(offered, {})

    assert settled.plain == {"MOTD": "hello"}
    assert len(settled.secret["TOKEN_A"]) == 12


def test_what_was_there_stays_unless_given() -> None:
    offered = [variable(key="MOTD", default="hello"), variable(key="TOKEN_A", kind="secret")]
    before = variables.Settings({"MOTD": "mine"}, {"TOKEN_A": "kept12345678"})

    settled = variables.settle(offered, {}, before=before)

    assert settled == before


def test_unknown_keys_name_the_field() -> None:
    with pytest.raises(Invalid) as error:
        variables.settle([variable()], {"OTHER": "x"})

    assert error.value.field == "values.OTHER"


def test_a_required_value_must_be_there() -> None:
    with pytest.raises(Invalid) as error:
        variables.settle([variable(is_required=True)], {})

    assert error.value.field == "values.SETTING"


def test_what_is_not_editable_is_for_those_who_write_templates() -> None:
    offered = [variable(is_editable=False)]

    with pytest.raises(Invalid, match="run the hub"):
        variables.settle(offered, {"SETTING": "x"})
    assert variables.settle(offered, {"SETTING": "x"}, may_edit_all=True).plain == {"SETTING": "x"}


@pytest.mark.parametrize(
    "key", ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "SERVER_IP", "HUB_X", "PYTHONPATH", "HOME", "NODE_OPTIONS", "motd"]
)
def test_reserved_and_malformed_names_are_refused(key: str) -> None:
    with pytest.raises(ValidationError) as error:
        variable(key=key).clean()

    assert "key" in error.value.message_dict


@pytest.mark.parametrize(
    ("made", "field"),
    [
        ({"minimum": 5, "maximum": 1}, "maximum"),
        ({"pattern": "["}, "pattern"),
        ({"kind": "choice"}, "choices"),
        ({"kind": "integer", "default": "x"}, "default"),
        ({"kind": "secret", "default": "Abcdefgh1234"}, "default"),
    ],
)
def test_contradicting_variables_are_refused(made: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        variable(**made).clean()

    assert field in error.value.message_dict


@pytest.mark.django_db
def test_a_variable_may_not_take_the_name_of_a_port() -> None:
    template = TemplateFactory()
    VariableFactory(template=template, key="RCON_PASSWORD")

    with pytest.raises(ValidationError, match="two meanings"):
        template.full_clean()
