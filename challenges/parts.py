"""Containers and hints as a form holds them: JSON, checked by the very serializers of the API."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from .api.serializers import ContainerSerializer, HintSerializer
from .forms import ChallengeForm
from .models import Challenge


def initial_of(challenge: Challenge | None) -> dict[str, Any]:
    """What the form shows besides the row; of the flag all but its content."""
    if challenge is None:
        return {"containers": [], "hints": []}
    flag = challenge.flags.first()
    return {
        "tags": ", ".join(challenge.tags),
        "containers": ContainerSerializer(challenge.containers.prefetch_related("ports"), many=True).data,
        "hints": HintSerializer(challenge.hints.all(), many=True).data,
        "flag_kind": flag.kind if flag else None,
        "flag_env": flag.plant_env if flag else "",
        "flag_path": flag.plant_path if flag else "",
    }


def values_of(form: ChallengeForm, challenge: Challenge | None) -> dict[str, Any] | None:
    """What a service takes; None when a list is not what it should be, and the form says so then."""
    values = dict(form.cleaned_data)
    for name, kind in (("containers", ContainerSerializer), ("hints", HintSerializer)):
        rows = kind(data=values[name] or [], many=True)
        try:
            rows.is_valid(raise_exception=True)
        except ValidationError as error:
            form.add_error(name, f"Not as it should be: {error.detail}"[:500])
            return None
        values[name] = rows.validated_data
    kind, content = values.pop("flag_kind"), values.pop("flag_content")
    planted = {"plant_env": values.pop("flag_env"), "plant_path": values.pop("flag_path")}
    flags = list(challenge.flags.all()) if challenge else []
    if content or flags:
        first = {"name": flags[0].name if flags else "flag", "kind": kind, "content": content, **planted}
        values["flags"] = [first, *({"name": flag.name} for flag in flags[1:])]
    return values
