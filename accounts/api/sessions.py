"""Where the asker is logged in: browsers and programs, ended one by one or all at once."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import sessions
from hub.api.permissions import IsAllowed
from hub.api.throttles import ThrottledView

from .auth import asker

LOGIN = OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH)


class SessionSerializer(serializers.Serializer[Any]):
    """One place where the asker is logged in. The id names it and opens nothing."""

    id = serializers.CharField(source="key")
    kind = serializers.ChoiceField(choices=[(sessions.BROWSER, "Browser"), (sessions.PROGRAM, "Program")])
    device = serializers.CharField()
    ip = serializers.CharField()
    since = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField(source="seen")
    is_current = serializers.BooleanField(help_text="Whether this browser session asks.")


class EndedSerializer(serializers.Serializer[Any]):
    """How many logins ended."""

    ended = serializers.IntegerField()


class SessionViewSet(ThrottledView, ViewSet):
    """One's own logins. API tokens are none."""

    permission_classes = (IsAuthenticated, IsAllowed)
    lookup_value_regex = "[0-9a-f-]{1,36}"
    verbs: ClassVar[dict[str, str]] = {"list": "users.view", "*": "users.change"}

    @extend_schema(summary="List where one is logged in", responses=SessionSerializer(many=True))
    def list(self, request: Request) -> Response:
        logins = sessions.logins_of(asker(request), current=_current(request))
        return Response(SessionSerializer(logins, many=True).data)

    @extend_schema(summary="End one of one's logins", parameters=[LOGIN], responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        user = asker(request)
        sessions.end_login(user, sessions.kind_of(pk), pk, actor=user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="End all of one's logins but the browser session that asks", request=None, responses=EndedSerializer
    )
    @action(detail=False, methods=["post"], url_path="end-others")
    def end_others(self, request: Request) -> Response:
        user = asker(request)
        return Response({"ended": sessions.end_all(user, actor=user, but=_current(request))})


def _current(request: Request) -> str:
    """The key of the browser session that asks, "" for a program."""
    return request._request.session.session_key or ""
