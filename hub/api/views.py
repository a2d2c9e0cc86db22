"""The base of every API view, so that those of the apps stay thin."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.pagination import BasePagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, ListSerializer, Serializer
from rest_framework.viewsets import GenericViewSet

from hub.exceptions import Invalid

from .csv import CsvRenderer
from .etags import VersionedView
from .pagination import ExportPagination
from .permissions import IsAllowed
from .throttles import ThrottledView

FIELDS = OpenApiParameter("fields", str, description="Only these fields, by comma.")
# `?brief=1` is not in the document: its answers lack what the schemas call required, and clients made of the document
# choose by `fields`. It is for people at a command line, as in NetBox.
BRIEF_FIELDS = ("id", "slug", "name", "username", "title", "version", "status", "state", "url")


class FieldsMixin(GenericAPIView[Any]):
    """`?fields=id,name` answers a list or an object with these fields only, `?brief=1` with those that name it."""

    list_actions: ClassVar[frozenset[str]] = frozenset({"list"})

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        serializer = super().get_serializer(*args, **kwargs)
        query = self.request.query_params if getattr(self, "request", None) else {}
        if query and getattr(self, "action", "") in {"retrieve", *self.list_actions}:
            if wanted := query.get("fields"):
                _keep_fields(serializer, wanted)
            elif query.get("brief", "").lower() in ("1", "true", "yes"):
                _keep_brief(serializer)
        return serializer


def _keep_fields(serializer: BaseSerializer[Any], wanted: str) -> None:
    inner = _inner(serializer)
    if inner is None:
        return
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    if unknown := names - set(inner.fields):
        raise Invalid(f"There is no field {', '.join(sorted(unknown))}.", field="fields")
    for name in set(inner.fields) - names:
        inner.fields.pop(name)


def _keep_brief(serializer: BaseSerializer[Any]) -> None:
    if inner := _inner(serializer):
        kept = [name for name in BRIEF_FIELDS if name in inner.fields] or list(inner.fields.keys())[:1]
        _keep_fields(serializer, ",".join(kept))


def _inner(serializer: BaseSerializer[Any]) -> Serializer[Any] | None:
    """The serializer of one object, if it has fields to choose from."""
    inner = serializer.child if isinstance(serializer, ListSerializer) else serializer
    return inner if isinstance(inner, Serializer) else None


@extend_schema_view(list=extend_schema(parameters=[FIELDS]), retrieve=extend_schema(parameters=[FIELDS]))
class HubViewSet(ThrottledView, VersionedView, FieldsMixin, ListModelMixin, RetrieveModelMixin, GenericViewSet[Any]):
    """List and detail of what the user may see, for those who hold the verb; `list_actions` name further lists.

    `verbs = {"list": "servers.view", "*": "servers.change"}` gives each action its verb. The queryset has
    `visible_to(user)`; what it leaves out is a 404. Services check again, for they serve pages too. Lists are also CSV.
    """

    permission_classes = [IsAuthenticated, IsAllowed]
    renderer_classes = [JSONRenderer, CsvRenderer]
    verbs: ClassVar[dict[str, str]] = {}

    def get_renderers(self) -> list[Any]:
        """Only lists have rows for a CSV."""
        renderers = super().get_renderers()
        return renderers if getattr(self, "action", "") in self.list_actions else renderers[:1]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == 200 and self._is_export():
            name = request.path.rstrip("/").rpartition("/")[2]
            response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        return response

    def get_queryset(self) -> QuerySet[Any]:
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        visible: QuerySet[Any] = queryset.visible_to(self.request.user)  # type: ignore[attr-defined]  # ours has it
        return visible

    @property
    def paginator(self) -> BasePagination | None:
        """Exports have a page size of their own."""
        if not hasattr(self, "_paginator"):
            chosen = ExportPagination if self._is_export() else self.pagination_class
            self._paginator = chosen() if chosen else None
        return self._paginator

    def _is_export(self) -> bool:
        return getattr(getattr(self.request, "accepted_renderer", None), "format", "") == "csv"
