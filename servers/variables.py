"""The one place that decides whether a value may stand in a template's variable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hub import secrets
from hub.exceptions import Invalid

from .choices import VariableKind

if TYPE_CHECKING:
    from .models import GameServer, TemplateVariable

LONGEST_TEXT = 500
SECRET_LENGTHS = (12, 64)
SECRET = re.compile(r"[A-Za-z0-9]+")
TRUE, FALSE = "true", "false"
WORDS = {True: TRUE, False: FALSE, "true": TRUE, "false": FALSE, "1": TRUE, "0": FALSE, "yes": TRUE, "no": FALSE}


@dataclass(frozen=True)
class Settings:
    """Values as texts, the way the server's environment takes them; secrets apart."""

    plain: dict[str, str] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)


def dump_secrets(settings: Settings) -> str:
    """The form in which secrets are sealed."""
    return json.dumps(settings.secret) if settings.secret else ""


def of_server(server: GameServer) -> Settings:
    """The values a server has, secrets in the clear."""
    sealed = server.secret_values
    return Settings(dict(server.values), json.loads(sealed.reveal()) if sealed else {})


def settle(
    variables: Iterable[TemplateVariable],
    given: Mapping[str, Any],
    *,
    may_edit_all: bool = False,
    before: Settings | None = None,
) -> Settings:
    """All values of a server: what was given, else what it had, else the default; secrets are generated when empty.

    Raises Invalid naming `values.<KEY>` for an unknown key, one that the actor may not set, or a value that does not
    fit.
    """
    before = before or Settings()
    offered = {variable.key: variable for variable in variables}
    if unknown := sorted(given.keys() - offered.keys()):
        raise Invalid("The template has no such variable.", field=f"values.{unknown[0]}")
    settled = Settings()
    for key, variable in offered.items():
        kept = before.secret if variable.is_secret else before.plain
        if key in given and not (variable.is_editable or may_edit_all):
            raise Invalid("This is set by those who run the hub.", field=f"values.{key}")
        value = _value(variable, given[key]) if key in given else kept.get(key, variable.default)
        if variable.is_secret:
            settled.secret[key] = value or secrets.new_password()
        else:
            settled.plain[key] = value
        if variable.is_required and not value and not variable.is_secret:
            raise Invalid("A value is needed.", field=f"values.{key}")
    return settled


def missing_secrets(variables: Iterable[TemplateVariable], stored: Settings) -> dict[str, str]:
    """Values for the secrets that a template has got since: generated, like those of a new server."""
    lacking = [variable for variable in variables if variable.is_secret and not stored.secret.get(variable.key)]
    return {variable.key: variable.default or secrets.new_password() for variable in lacking}


def _value(variable: TemplateVariable, value: Any) -> str:
    try:
        return parse(variable, value)
    except ValueError as error:
        raise Invalid(str(error), field=f"values.{variable.key}") from None


def parse(variable: TemplateVariable, value: Any) -> str:
    """The value as the environment takes it. Raises ValueError with a sentence for whoever gave it."""
    if value is None or value == "":
        return ""
    return _PARSERS[VariableKind(variable.kind)](variable, value)


def _text(variable: TemplateVariable, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("A text is needed.")
    if not value.isprintable():
        raise ValueError("One line of text without control characters is needed.")
    least, most = variable.minimum or 0, min(LONGEST_TEXT, variable.maximum or LONGEST_TEXT)
    if not least <= len(value) <= most:
        raise ValueError(f"Between {least} and {most} characters are needed.")
    if variable.pattern and not re.fullmatch(variable.pattern, value):
        raise ValueError(variable.help_text or "The text has characters that are not allowed here.")
    return value


def _integer(variable: TemplateVariable, value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31:
        raise ValueError("A whole number is needed.")
    if variable.minimum is not None and value < variable.minimum:
        raise ValueError(f"At least {variable.minimum} is needed.")
    if variable.maximum is not None and value > variable.maximum:
        raise ValueError(f"At most {variable.maximum} is possible.")
    return str(value)


def _boolean(variable: TemplateVariable, value: Any) -> str:
    key = value.lower() if isinstance(value, str) else value
    if not isinstance(key, bool | str) or key not in WORDS:
        raise ValueError("true or false is needed.")
    return WORDS[key]


def _choice(variable: TemplateVariable, value: Any) -> str:
    if not isinstance(value, str) or value not in variable.choices:
        raise ValueError(f"One of these is needed: {', '.join(variable.choices)}.")
    return value


def _secret(variable: TemplateVariable, value: Any) -> str:
    least, most = SECRET_LENGTHS
    if not isinstance(value, str) or not SECRET.fullmatch(value) or not least <= len(value) <= most:
        raise ValueError(f"Between {least} and {most} letters and digits are needed, or nothing to have one made.")
    return value


_PARSERS = {
    VariableKind.TEXT: _text,
    VariableKind.INTEGER: _integer,
    VariableKind.BOOLEAN: _boolean,
    VariableKind.CHOICE: _choice,
    VariableKind.SECRET: _secret,
}
