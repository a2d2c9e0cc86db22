"""The job queues over HTTP: how much waits and runs, and what failed, to send again or forget."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from hub.api.permissions import IsAllowed
from hub.api.routers import HubRouter
from hub.api.throttles import ThrottledView
from hub.exceptions import Unavailable

from . import queues

JOB = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class QueueSerializer(serializers.Serializer[Any]):
    """A queue and how many of its jobs are in each state."""

    name = serializers.CharField()
    waiting = serializers.IntegerField()
    running = serializers.IntegerField()
    failed = serializers.IntegerField()


class FailedJobSerializer(serializers.Serializer[Any]):
    """A job that raised, with the last line of its traceback."""

    id = serializers.UUIDField()
    queue = serializers.CharField()
    what = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()


class QueueViewSet(ThrottledView, ViewSet):
    """The queues."""

    permission_classes = (IsAuthenticated, IsAllowed)
    verbs: ClassVar[dict[str, str]] = {"*": "jobs.view"}

    @extend_schema(summary="List the job queues", responses=QueueSerializer(many=True))
    def list(self, request: Request) -> Response:
        return Response(QueueSerializer(_look().queues, many=True).data)


class FailedJobViewSet(ThrottledView, ViewSet):
    """The latest jobs that failed."""

    permission_classes = (IsAuthenticated, IsAllowed)
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    verbs: ClassVar[dict[str, str]] = {"list": "jobs.view", "*": "jobs.change"}

    @extend_schema(
        summary="List the latest failed jobs, newest first",
        responses=FailedJobSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        return Response(FailedJobSerializer(_look().failed, many=True).data)

    @extend_schema(summary="Send a failed job again", parameters=[JOB], request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        queues.retry(UUID(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Forget a failed job", parameters=[JOB], responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        queues.forget(UUID(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _look() -> queues.Overview:
    found = queues.look()
    if found.problem:
        raise Unavailable(found.problem)
    return found


router = HubRouter()
router.register("queues", QueueViewSet, basename="queue")
router.register("failed-jobs", FailedJobViewSet, basename="failed-job")

urlpatterns = router.urls
