"""Routes that only tests use, beside the real ones."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hub import context, exceptions
from hub.api.idempotency import idempotent
from hub.models import PeriodicRun
from hub.urls import handler400, handler403, handler404, handler500, urlpatterns  # noqa: F401 - Django looks for them here

ERRORS: dict[str, Exception] = {
    "invalid": exceptions.Invalid("Too long.", field="name"),
    "conflict": exceptions.Conflict("It is running.", code="server_running"),
    "too-many": exceptions.TooMany("Slow down.", retry_after=30),
    "missing": Http404("secret reason"),
    "integrity": IntegrityError('duplicate key value violates unique constraint "secret_name"'),
    "database": OperationalError("connection to server at 10.0.0.5 failed: password authentication"),
    "throttled": Throttled(wait=7.2),
    "bug": RuntimeError("secret internals"),
}


def fail(name: str) -> Any:
    raise ERRORS[name]


def page(request: HttpRequest, name: str) -> HttpResponse:
    return fail(name)


def who(request: HttpRequest) -> HttpResponse:
    facts = context.current()
    return HttpResponse(f"{facts.request_id} {facts.ip} {facts.via}")


def whose(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


class ItemSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=5)
    size = serializers.IntegerField(min_value=1, required=False)


class OrderSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    items = ItemSerializer(many=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["title"] == "nothing":
            raise serializers.ValidationError("Order something.")
        return attrs


class FailView(APIView):
    permission_classes = [AllowAny]

    def get(self, request: Request, name: str) -> Response:
        fail(name)
        return Response()


class OrderView(APIView):
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        OrderSerializer(data=request.data).is_valid(raise_exception=True)
        return Response()


class RunsView(APIView):
    """Creates a row, once per key."""

    @idempotent
    def post(self, request: Request) -> Response:
        data: Any = request.data
        task = data["task"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            run = PeriodicRun.objects.create(task=task, due_at=cursor.fetchone()[0])
        if task == "refused":
            raise exceptions.LimitReached("No more of those.")
        return Response({"zeta": run.pk, "alpha": task}, status=201, headers={"Location": f"/runs/{run.pk}"})


urlpatterns = [
    *urlpatterns,
    path("test/fail/<name>", page),
    path("test/who", who),
    path("test/whose", whose),
    path("admin/test/who", who),
    path("api/test/who", who),
    path("api/test/fail/<name>", FailView.as_view()),
    path("api/test/plain/<name>", page),
    path("api/test/orders", OrderView.as_view()),
    path("api/test/runs", RunsView.as_view()),
]
urlpatterns = urlpatterns[-8:] + urlpatterns[:-8]  # before the admin's catch-all
