"""The base of the API's views: scoping, verbs, pages, chosen fields, CSV, routes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import models
from django.urls import include, path
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.routers import HubRouter
from hub.api.views import HubViewSet
from hub.models import PeriodicRun
from hub.testing import api_client, assert_constant_queries
from hub.urls import handler404 as handler404

pytestmark = [pytest.mark.django_db, pytest.mark.urls("hub.tests.test_api_views")]

URL = "/api/v1/runs"


class RunQuerySet(models.QuerySet[PeriodicRun]):
    def visible_to(self, user: Any) -> RunQuerySet:
        return self.filter(task=user.username)


class RunSerializer(serializers.ModelSerializer[PeriodicRun]):
    class Meta:
        model = PeriodicRun
        fields = ["id", "task", "outcome", "error"]


class RunViewSet(HubViewSet):
    queryset = RunQuerySet(PeriodicRun).order_by("due_at")
    serializer_class = RunSerializer
    ordering_fields = ["id"]
    verbs = {"list": "runs.view", "retrieve": "runs.view", "retry": "runs.retry"}

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        return Response({"retried": self.get_object().pk})

    @action(detail=False, methods=["post"])
    def nameless(self, request: Request) -> Response:
        return Response()


router = HubRouter()
router.register("runs", RunViewSet, basename="run")
urlpatterns = [path("api/v1/", include((router.urls, "api")))]


def decide(actor: Any, verb: str, obj: Any = None) -> bool:
    """Everybody may look; only bob may retry, and nothing that failed."""
    return verb == "runs.view" or (actor.username == "bob" and (obj is None or obj.outcome != "failed"))


@pytest.fixture(autouse=True)
def _rules(settings: Any) -> None:
    settings.HUB_CAN = "hub.tests.test_api_views.decide"


@pytest.fixture
def ada(person: Callable[..., Any]) -> Any:
    return person("ada")


def runs(task: str, count: int, **values: Any) -> list[PeriodicRun]:
    first = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=PeriodicRun.objects.count())
    return [
        PeriodicRun.objects.create(task=task, due_at=first + timedelta(minutes=number), **values)
        for number in range(count)
    ]


def test_list_holds_what_the_user_may_see(ada: Any) -> None:
    runs("ada", 2)
    runs("bob", 3)

    body = api_client(ada).get(URL).json()

    assert (body["count"], {row["task"] for row in body["results"]}) == (2, {"ada"})


def test_what_one_may_not_see_is_a_404(ada: Any) -> None:
    (run,) = runs("bob", 1)

    assert api_client(ada).get(f"{URL}/{run.pk}").status_code == 404


def test_verb_is_asked_for_the_action_and_the_object(ada: Any, person: Callable[..., Any]) -> None:
    (own,) = runs("ada", 1)
    fine, failed = runs("bob", 1) + runs("bob", 1, outcome="failed")
    bob = person("bob")

    assert api_client(ada).post(f"{URL}/{own.pk}/retry").status_code == 403
    assert api_client(bob).post(f"{URL}/{fine.pk}/retry").status_code == 200
    assert api_client(bob).post(f"{URL}/{failed.pk}/retry").status_code == 403


def test_action_without_a_verb_is_a_mistake_and_not_an_open_door(ada: Any) -> None:
    client = api_client(ada)
    client.raise_request_exception = False

    assert client.post(f"{URL}/nameless").status_code == 500


def test_nobody_is_asked_to_authenticate_before_anything_else() -> None:
    assert api_client().get(URL).status_code == 401
    assert api_client().post(f"{URL}/1/retry").status_code == 401


def test_wrong_method_is_a_405(ada: Any) -> None:
    assert api_client(ada).delete(URL).status_code == 405
    assert api_client(ada).options(URL).status_code == 200


def test_address_with_a_slash_at_the_end_is_a_404(ada: Any) -> None:
    assert api_client(ada).get(f"{URL}/").status_code == 404


def test_list_comes_in_pages(ada: Any) -> None:
    runs("ada", 5)

    body = api_client(ada).get(URL, {"limit": 2, "offset": 2}).json()

    assert (body["count"], len(body["results"])) == (5, 2)
    assert "offset=4" in body["next"]
    assert body["previous"].endswith("limit=2")


def test_page_has_fifty_rows_unless_told_and_a_thousand_at_most(ada: Any) -> None:
    runs("ada", 60)
    client = api_client(ada)

    assert len(client.get(URL).json()["results"]) == 50
    assert "limit=1000" in client.get(URL, {"limit": 5000, "offset": 1}).json()["previous"]


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "ten"), ("limit", "-1"), ("offset", "x")])
def test_nonsense_page_is_refused(ada: Any, name: str, value: str) -> None:
    response = api_client(ada).get(URL, {name: value})

    assert (response.status_code, list(response.json()["fields"])) == (400, [name])


@pytest.mark.parametrize("offset", ["99999999999", "9" * 18])
def test_page_beyond_the_end_is_empty(ada: Any, offset: str) -> None:
    assert api_client(ada).get(URL, {"offset": offset}).json()["results"] == []


def test_fields_may_be_chosen(ada: Any) -> None:
    (run,) = runs("ada", 1)
    client = api_client(ada)

    assert client.get(URL, {"fields": "id,outcome"}).json()["results"] == [{"id": run.pk, "outcome": "waiting"}]
    assert client.get(f"{URL}/{run.pk}", {"fields": "task"}).json() == {"task": "ada"}


def test_unknown_field_is_refused(ada: Any) -> None:
    response = api_client(ada).get(URL, {"fields": "id,password"})

    assert (response.status_code, response.json()["detail"]) == (400, "There is no field password.")


def test_list_as_csv_has_all_rows(ada: Any) -> None:
    runs("ada", 60)

    response = api_client(ada).get(URL, {"format": "csv", "fields": "id,task"})

    rows = list(csv.reader(io.StringIO(response.content.decode())))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert rows[0] == ["id", "task"]
    assert len(rows) == 61


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"])
def test_csv_cell_is_never_a_formula(ada: Any, text: str) -> None:
    runs("ada", 1, error=text)

    response = api_client(ada).get(URL, {"format": "csv", "fields": "error"})

    rows = list(csv.reader(io.StringIO(response.content.decode(), newline="")))
    assert rows[1] == [f"'{text}"]


def test_error_of_a_csv_request_is_a_problem(ada: Any) -> None:
    response = api_client(ada).get(URL, {"format": "csv", "fields": "nonsense"})

    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_object_is_not_offered_as_csv(ada: Any) -> None:
    (run,) = runs("ada", 1)

    response = api_client(ada).get(f"{URL}/{run.pk}", {"format": "csv"})

    assert (response.status_code, response.json()["fields"]) == (400, {"format": ["The format can be json here."]})


def test_format_asked_for_counts_more_than_the_header(ada: Any) -> None:
    response = api_client(ada).get(URL, {"format": "csv"}, headers={"Accept": "application/json"})

    assert response["Content-Type"] == "text/csv; charset=utf-8"


def test_answer_is_json_whatever_one_would_rather_have(ada: Any) -> None:
    response = api_client(ada).get(URL, headers={"Accept": "application/xml"})

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_list_costs_the_same_queries_with_more_rows(ada: Any) -> None:
    runs("ada", 1)
    client = api_client(ada)

    assert_constant_queries(lambda: client.get(URL), lambda: runs("ada", 5))


@pytest.mark.parametrize("value", ["a\x00b", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")])
def test_text_that_the_database_cannot_hold_is_a_400(ada: Any, value: str) -> None:
    assert api_client(ada).get(f"{URL}/{value}").status_code in (400, 404)
