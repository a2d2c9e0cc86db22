"""How operations read in the OpenAPI document: `servers_start`, one sentence each, an example for every input."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from .etags import VersionedView

WORDS: Final = {"partial_update": "update", "destroy": "delete", "retrieve": "get"}
SENTENCES: Final = {
    "list": "List {many}",
    "retrieve": "Show {one}",
    "create": "Make {one}",
    "partial_update": "Change {one}",
    "destroy": "Remove {one}",
}
ETAG: Final = {
    "ETag": {
        "schema": {"type": "string"},
        "description": "For If-None-Match, and for If-Match on a change.",
    }
}


def example(serializer: type, name: str, values: dict[str, Any], *, media_type: str = "application/json") -> None:
    """Show this body in the document wherever the serializer is an input. A test holds it against the schema."""
    extend_schema_serializer(examples=[OpenApiExample(name, value=values, request_only=True, media_type=media_type)])(
        serializer
    )


class HubSchema(AutoSchema):
    """Names come from the route and the view's action, not from the HTTP method."""

    view: Any  # an APIView, or a view set with its actions

    def get_operation_id(self) -> str:
        noun, *rest = [part.replace("-", "_") for part in self._tokenize_path()]
        action = getattr(self.view, "action", None)
        if action is None:
            return "_".join([noun, *rest])
        name = WORDS.get(action, action)
        return f"{noun}_{name}_update" if self.method != "GET" and self._shares_its_action() else f"{noun}_{name}"

    def get_summary(self) -> str | None:
        given: str | None = super().get_summary()
        sentence = SENTENCES.get(getattr(self.view, "action", None) or "")
        if given or not sentence:
            return given
        names = self.view.get_queryset().model._meta
        one = str(names.verbose_name)
        article = "an" if one[0] in "aeio" else "a"
        return sentence.format(one=f"{article} {one}", many=names.verbose_name_plural)

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation and self.method == "GET" and isinstance(self.view, VersionedView):
            operation["responses"]["200"]["headers"] = ETAG
            operation["responses"]["304"] = {"description": "What you have (If-None-Match) has not changed."}
        return operation

    def _get_paginator(self) -> Any:
        """Only what is read comes in pages; the list that a write answers is whole."""
        return super()._get_paginator() if self.method == "GET" else None

    def get_filter_backends(self) -> list[Any]:
        backends: list[Any] = super().get_filter_backends()
        return backends if self.method == "GET" else []

    def _shares_its_action(self) -> bool:
        """Whether one method of the view serves several HTTP methods."""
        return list(self.view.action_map.values()).count(self.view.action) > 1
