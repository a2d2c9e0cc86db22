"""Bulk endpoints: one request, a result per row with the status that a request for this row alone would have had."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from hub.bulk import MOST, Result


class BulkErrorSerializer(serializers.Serializer[Any]):
    """Why it was refused for this row."""

    code = serializers.CharField()
    detail = serializers.CharField()


def ids_field(child: serializers.Field[Any, Any, Any, Any]) -> serializers.ListField:
    """The keys of the rows."""
    return serializers.ListField(child=child, min_length=1, max_length=MOST, help_text=f"At most {MOST}.")


def bulk_entry(result: Result[Any], *, status: int, **shown: Any) -> dict[str, Any]:
    """One row of the answer; `status` is that of a row which was not refused, `shown` what it has besides."""
    problem = result.problem
    return {
        "id": result.key,
        "status": problem.status if problem else status,
        **shown,
        "error": {"code": problem.code, "detail": problem.detail} if problem else None,
    }
