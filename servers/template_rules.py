"""What makes a template and its variables acceptable, for the admin, the API and the catalogue alike."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError

from . import placeholders, variables
from .choices import STOP_SIGNALS, PortProtocol, ReadinessKind, StopKind, VariableKind
from .ports import TemplatePort, parse_ports

if TYPE_CHECKING:
    from .models import Template, TemplateVariable

LIMITS = ("memory_mb", "disk_mb", "cpu_percent")
CONSOLE_STOPS = {StopKind.RCON: PortProtocol.RCON, StopKind.ECON: PortProtocol.ECON}


def clean_template(template: Template) -> None:
    """Raise ValidationError with every field at fault."""
    errors: dict[str, str] = {}
    ports = _collect(errors, "ports", lambda: _ports(template))
    _collect(errors, "process_command", lambda: _command(template.process_command, ports))
    _collect(errors, "image_command", lambda: _command(template.image_command, ports))
    _collect(errors, "env", lambda: _env(template, ports))
    _collect(errors, "stop_value", lambda: _stop(template, ports))
    _collect(errors, "readiness_port", lambda: _readiness(template, ports))
    _collect(errors, "readiness_pattern", lambda: _pattern(template.readiness_pattern))
    if template.is_published and not template.engines:
        errors["image"] = "A template that is offered needs an image or a command."
    for limit in LIMITS:
        least, usual, most = (getattr(template, f"{word}_{limit}") for word in ("min", "default", "max"))
        if not least <= usual <= most:
            errors[f"default_{limit}"] = f"The usual value must lie between {least} and {most}."
    if errors:
        raise ValidationError(errors)


def clean_variable(variable: TemplateVariable) -> None:
    """Raise ValidationError for a reserved name, contradicting bounds, or a default that its own rules refuse."""
    errors: dict[str, str] = {}
    if not placeholders.VARIABLE_NAME.fullmatch(variable.key):
        errors["key"] = "The name of a variable has capital letters, digits and underscores."
    elif placeholders.is_reserved(variable.key):
        errors["key"] = "This name is reserved."
    if variable.minimum is not None and variable.maximum is not None and variable.minimum > variable.maximum:
        errors["maximum"] = "The greatest value is below the least."
    _collect(errors, "pattern", lambda: _pattern(variable.pattern))
    _collect(errors, "choices", lambda: _choices(variable))
    if not errors and variable.default and variable.kind != VariableKind.SECRET:
        _collect(errors, "default", lambda: variables.parse(variable, variable.default))
    if variable.kind == VariableKind.SECRET and variable.default:
        errors["default"] = "A secret has no default: it is generated for each server."
    if errors:
        raise ValidationError(errors)


def _collect(errors: dict[str, str], field: str, check: Any) -> Any:
    try:
        return check() or []
    except ValueError as error:
        errors[field] = str(error)
        return []


def _ports(template: Template) -> list[TemplatePort]:
    if not isinstance(template.ports, list) or not template.ports:
        raise ValueError("A list of at least one port is needed.")
    ports = parse_ports(template.ports)
    if not ports[0].is_public:
        raise ValueError("The first port is the one for players and must be public.")
    for port in ports:
        for name in port.told:
            if not placeholders.VARIABLE_NAME.fullmatch(name) or name.startswith(placeholders.RESERVED_PREFIXES):
                raise ValueError(f"{name} cannot be the name of a variable.")
    told = Counter(name for port in ports for name in port.told)
    told.update(variable.key for variable in template.stored_variables())
    if twice := [name for name, count in told.items() if count > 1]:
        raise ValueError(f"{twice[0]} would have two meanings.")
    return ports


def _command(command: Any, ports: list[TemplatePort]) -> None:
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise ValueError("A command is a list of texts.")
    for word in command:
        placeholders.check(word, placeholders.COMMAND_FACTS | _port_variables(ports))


def _env(template: Template, ports: list[TemplatePort]) -> None:
    if not isinstance(template.env, dict):
        raise ValueError("The environment is a table of names and texts.")
    plain = {variable.key for variable in template.stored_variables() if not variable.is_secret}
    for name, text in template.env.items():
        if not placeholders.VARIABLE_NAME.fullmatch(name) or not isinstance(text, str):
            raise ValueError(f"{name} must be of capital letters, digits and underscores, and its value a text.")
        placeholders.check(text, placeholders.FACTS | _port_variables(ports) | plain)


def _port_variables(ports: list[TemplatePort]) -> set[str]:
    return {name for port in ports for name in port.told if name != port.password_variable}


def _stop(template: Template, ports: list[TemplatePort]) -> None:
    if template.stop_kind == StopKind.SIGNAL and template.stop_value not in STOP_SIGNALS:
        raise ValueError(f"The signal must be one of {', '.join(STOP_SIGNALS)}.")
    if not template.stop_value.strip() or not template.stop_value.isprintable():
        raise ValueError("One line of text is needed.")
    protocol = CONSOLE_STOPS.get(StopKind(template.stop_kind))
    if protocol and not any(port.protocol == protocol for port in ports):
        raise ValueError(f"The template has no port for {protocol}.")


def _readiness(template: Template, ports: list[TemplatePort]) -> None:
    if template.readiness_port and template.readiness_port not in {port.name for port in ports}:
        raise ValueError("There is no port of this name.")
    if template.readiness_kind == ReadinessKind.RCON and not any(port.protocol == PortProtocol.RCON for port in ports):
        raise ValueError("The template has no port for rcon.")
    if template.readiness_kind == ReadinessKind.LOG and not template.readiness_pattern:
        raise ValueError("The pattern of the log line is missing.")


def _pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"This is not a regular expression: {error}.") from None


def _choices(variable: TemplateVariable) -> None:
    offered = variable.choices
    if not isinstance(offered, list) or not all(isinstance(choice, str) and choice for choice in offered):
        raise ValueError("The choices are a list of texts.")
    if variable.kind == VariableKind.CHOICE and not offered:
        raise ValueError("A choice needs something to choose from.")
