"""Lists and tables in forms, one a line, as people write them: no JSON, no scripts."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from rest_framework.exceptions import ValidationError as NotAsWanted

from .api.serializers import ContainerPortSerializer

INTERNAL = "internal"


class LinesField(forms.CharField):
    """A list of texts. What cannot stand in a line as it is (line breaks, white space around) is quoted as in JSON."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"widget": forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}), **options})

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else "\n".join(self.write(value))

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) if isinstance(value, str | None) else "\n".join(self.write(value))
        return self.read([stripped for line in (text or "").split("\n") if (stripped := line.strip())])

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True

    def write(self, value: Any) -> list[str]:
        return [_quoted(str(text)) for text in value]

    def read(self, lines: list[str]) -> Any:
        return [_unquoted(line) for line in lines]


class VariablesField(LinesField):
    """A table of names and texts: NAME=text."""

    def write(self, value: Any) -> list[str]:
        return [f"{name}={_quoted(str(text))}" for name, text in value.items()]

    def read(self, lines: list[str]) -> Any:
        table: dict[str, str] = {}
        for line in lines:
            name, equals, text = line.partition("=")
            if not equals:
                raise ValidationError(f"{name[:60]}: write NAME=text.")
            if name.strip() in table:
                raise ValidationError(f"{name.strip()[:60]} stands here twice.")
            table[name.strip()] = _unquoted(text.strip())
        return table


class PortsField(LinesField):
    """Ports of a container: name, number, protocol if it is not HTTP, and `internal` if teams do not reach it."""

    def write(self, value: Any) -> list[str]:
        return [
            f"{port['name']} {port['number']} {port.get('protocol', 'http')}"
            + ("" if port.get("is_public", True) else f" {INTERNAL}")
            for port in value
        ]

    def read(self, lines: list[str]) -> Any:
        rows = []
        for line in lines:
            name, *rest = line.split()
            is_public = INTERNAL not in rest
            words = [word for word in rest if word != INTERNAL]
            if len(words) not in (1, 2):
                raise ValidationError(f"{line[:60]}: write name, number, protocol, such as: web 8080 http.")
            row: dict[str, Any] = {"name": name, "number": words[0], "is_public": is_public}
            rows.append({**row, "protocol": words[1].lower()} if words[1:] else row)
        asked = ContainerPortSerializer(data=rows, many=True)
        try:
            asked.is_valid(raise_exception=True)
        except NotAsWanted as error:
            raise ValidationError(list(_told(error, rows))) from None
        return list(asked.validated_data)


def _told(error: NotAsWanted, rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with which port; the serializer tells it by number, of all rows or of those at fault."""
    faults: Any = error.detail
    numbered = faults.items() if isinstance(faults, dict) else enumerate(faults)
    return [
        f"{rows[int(number)]['name']}, {field}: {' '.join(map(str, texts))}"
        for number, fields in numbered
        for field, texts in fields.items()
    ]


def _quoted(text: str) -> str:
    """As it is, unless reading it back would make another of it."""
    is_plain = text and text == text.strip() and not text.startswith('"') and len(text.splitlines()) == 1
    return text if is_plain else json.dumps(text)


def _unquoted(line: str) -> str:
    if not line.startswith('"'):
        return line
    try:
        text = json.loads(line)
    except ValueError:
        raise ValidationError(f"{line[:60]}: a quoted text ends with a quote.") from None
    return str(text)
