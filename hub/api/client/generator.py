"""Writes the Python client from the OpenAPI document: one class for each tag, one method for each operation."""

from __future__ import annotations

import ast
import inspect
import keyword
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import runtime

WIDTH = 120
METHODS = ("get", "post", "put", "patch", "delete")
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "Mapping[str, Any]"}
ASKS = {
    "Answer": "return self._answer",
    "Rows": "return self._rows",
    "bytes": "return self._content",
    "None": "self._nothing",
}
FORM, BINARY = "multipart/form-data", "application/octet-stream"
PAGING = {"format"}  # what `Listing` does by itself
HEAD = '''"""Client of the Kutanga Hub API, in one file that needs nothing but Python 3.11.

Written by `manage.py api_client` from the OpenAPI document: change that, not this. A copy may be taken anywhere.

    hub = Hub("https://hub.example.org", token="hub_…")
    for server in hub.servers.list(status=["running"]):
        print(server["name"], server["address"])
"""

'''


@dataclass(frozen=True)
class Argument:
    """One argument of a method, with its name in the API."""

    name: str
    hint: str
    place: str
    is_required: bool

    @property
    def word(self) -> str:
        """The name in Python."""
        word = self.name.replace("-", "_").lower()
        return f"{word}_" if keyword.iskeyword(word) else word

    @property
    def declared(self) -> str:
        if self.is_required:
            return f"{self.word}: {self.hint}"
        if self.place in ("body", "form"):
            words = [word for word in self.hint.split(" | ") if word != "None"]
            return f"{self.word}: {' | '.join([*words, 'Unset', *(['None'] if 'None' in self.hint else [])])} = UNSET"
        return f"{self.word}: {self.hint} | None = None"


def generate(document: dict[str, Any]) -> str:
    """The whole module."""
    groups: dict[str, list[str]] = {}
    for path, operations in sorted(document["paths"].items()):
        for method in METHODS:
            if operation := operations.get(method):
                name, text = _method(document, path, method, operation)
                groups.setdefault(name, []).append(text)
    classes = [_group(name, methods) for name, methods in sorted(groups.items())]
    return HEAD + "\n\n\n".join([_runtime(), *classes, _hub(sorted(groups))]) + "\n"


def _is_form(operation: dict[str, Any]) -> bool:
    """Whether it takes a file and nothing else."""
    content = operation.get("requestBody", {}).get("content", {})
    return bool(content) and "application/json" not in content


def _runtime() -> str:
    """The module beside this one, without its docstring."""
    source = inspect.getsource(runtime)
    docstring = ast.parse(source).body[0]
    return "\n".join(source.splitlines()[docstring.end_lineno :]).strip()


def _group(name: str, methods: Iterable[str]) -> str:
    title = name.replace("_", " ").capitalize()
    return f'class {_class(name)}(Group):\n    """{title}."""\n\n' + "\n\n".join(methods)


def _hub(names: list[str]) -> str:
    lines = [f"        self.{name} = {_class(name)}(self)" for name in names]
    return "\n".join(
        [
            "class Hub(Client):",
            '    """The API of one hub."""',
            "",
            '    def __init__(self, url: str, token: str = "", **options: Any) -> None:',
            "        super().__init__(url, token, **options)",
            *lines,
        ]
    )


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _method(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> tuple[str, str]:
    """The group's name and the method's text."""
    group = operation["tags"][0].replace("-", "_")
    name = operation["operationId"].removeprefix(f"{group}_")
    arguments = list(_arguments(document, operation))
    is_list = any(each.name == "offset" and each.place == "query" for each in arguments)
    result = "Listing" if is_list else _result(document, operation)
    lines = [_signature(name, arguments, result), f'        """{operation["summary"].rstrip(".")}."""']
    lines += _call(path, method, operation, arguments, result)
    return group, "\n".join(lines)


def _arguments(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[Argument]:
    """Path first, then what is required, then the rest, as the document has them."""
    found = []
    for each in operation.get("parameters", []):
        if each["name"] not in PAGING | {"Idempotency-Key"}:
            is_required = each["in"] == "path" or each.get("required", False)
            found.append(Argument(each["name"], _hint(document, each["schema"]), each["in"], is_required))
    shape = _resolved(document, _body(operation))
    place = "form" if _is_form(operation) else "body"
    for name, schema in shape.get("properties", {}).items():
        found.append(Argument(name, _hint(document, schema), place, name in shape.get("required", ())))
    in_path = {each.word for each in found if each.place == "path"}  # a key that stays is no input of a change
    kept = [each for each in found if each.place == "path" or each.word not in in_path]
    return iter(sorted(kept, key=lambda each: (each.place != "path", not each.is_required)))


def _signature(name: str, arguments: list[Argument], result: str) -> str:
    in_path = [each.declared for each in arguments if each.place == "path"]
    named = [each.declared for each in arguments if each.place != "path"]
    parts = ["self", *in_path, *(["*"] if named else []), *named]
    line = f"    def {name}({', '.join(parts)}) -> {result}:"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"    def {name}(", *(f"        {part}," for part in parts), f"    ) -> {result}:"])


def _call(path: str, method: str, operation: dict[str, Any], arguments: list[Argument], result: str) -> list[str]:
    for each in arguments:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", f"{{_part({each.word})}}")
    text = f'f"{path}"' if "{" in path else f'"{path}"'
    places = {
        place: [each for each in arguments if each.place == place] for place in ("query", "header", "body", "form")
    }
    if result == "Listing":
        lines = ["        return Listing(", "            self._client,", f"            {text},"]
        return [*lines, *_mapping("            ", places["query"]), "        )"]
    parts = [f'            "{method.upper()}",', f"            {text},"]
    for place, word in (("query", "query="), ("body", "body="), ("form", "form="), ("header", "headers=")):
        if places[place]:
            parts += _mapping(f"            {word}", places[place])
    if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", [])):
        parts.append("            is_keyed=True,")
    ask = f"        {ASKS[result]}"
    short = f"{ask}({' '.join(part.strip() for part in parts).rstrip(',')})"
    if len(parts) == 2 and len(short) <= WIDTH:
        return [short]
    return [f"{ask}(", *parts, "        )"]


def _mapping(start: str, arguments: list[Argument]) -> list[str]:
    pairs = [f'"{each.name}": {each.word}' for each in arguments]
    line = f"{start}{{{', '.join(pairs)}}},"
    if len(line) <= WIDTH:
        return [line]
    return [f"{start}{{", *(f"                {pair}," for pair in pairs), "            },"]


def _result(document: dict[str, Any], operation: dict[str, Any]) -> str:
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            content = answer.get("content", {}).get("application/json")
            if not content:
                return "bytes" if BINARY in answer.get("content", {}) else "None"
            return "Rows" if content["schema"].get("type") == "array" else "Answer"
    return "None"


def _hint(document: dict[str, Any], schema: dict[str, Any]) -> str:
    schema = _resolved(document, schema)
    kinds = schema.get("type", ())
    words = [kinds] if isinstance(kinds, str) else list(kinds)
    if not words:
        inner = schema.get("oneOf") or schema.get("anyOf") or schema.get("allOf") or []
        found = {_hint(document, each) for each in inner}
        return found.pop() if len(found) == 1 else "Any"
    hints = dict.fromkeys(_one_hint(document, word, schema) for word in words if word != "null")
    return " | ".join([*hints, *(["None"] if "null" in words else [])])


def _one_hint(document: dict[str, Any], word: str, schema: dict[str, Any]) -> str:
    if schema.get("format") == "binary":
        return "File"
    if word == "array":
        return f"Sequence[{_hint(document, schema.get('items', {}))}]"
    return TYPES[word]


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _body(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] = content.get("application/json") or content.get(FORM, {})
    return schema.get("schema", {})
