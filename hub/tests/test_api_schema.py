"""The OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator

from hub.api.schema import add_error_answers

pytestmark = pytest.mark.django_db


@pytest.fixture
def document(client: Client) -> Any:
    return json.loads(client.get("/api/v1/schema").content)


def test_document_is_json_unless_yaml_is_wanted(client: Client) -> None:
    assert client.get("/api/v1/schema")["Content-Type"].startswith("application/vnd.oai.openapi+json")
    assert client.get("/api/v1/schema?format=yaml").content.startswith(b"openapi: 3")
    assert client.get("/api/v1/schema?format=xml").status_code == 400


def test_document_is_made_without_warnings() -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file="/dev/null")


def test_lists_say_what_they_take_and_give(document: Any) -> None:
    for path in ("/api/v1/users", "/api/v1/regions"):
        operation = document["paths"][path]["get"]
        assert {"limit", "offset", "fields"} <= {each["name"] for each in operation["parameters"]}
        assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}


def test_every_operation_lists_its_errors(document: Any) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "429" in operation["responses"], (method, path)
            if "{" in path:
                assert "404" in operation["responses"], (method, path)
            if method != "get":
                assert "409" in operation["responses"], (method, path)
            if method != "get" or "requestBody" in operation:
                assert "413" in operation["responses"], (method, path)


def test_all_references_lead_somewhere(document: Any) -> None:
    references = [part.split('"')[0] for part in json.dumps(document).split('"$ref": "#/')[1:]]

    for reference in set(references):
        place = document
        for key in reference.split("/"):
            place = place[key]


def test_addresses_have_no_slash_at_the_end(document: Any) -> None:
    assert [path for path in document["paths"] if path.endswith("/")] == []


def test_own_answers_are_not_overwritten() -> None:
    own = {"description": "Ours.", "content": {"text/plain": {}}}
    made = add_error_answers({"paths": {"/a/{id}": {"get": {"responses": {"404": own}, "security": [{}]}}}})

    answers = made["paths"]["/a/{id}"]["get"]["responses"]
    assert answers["404"] is own
    assert "403" not in answers


def test_answer_that_a_view_only_names_is_described() -> None:
    named = {"description": "No response body"}
    made = add_error_answers({"paths": {"/a": {"get": {"responses": {"404": named}, "security": [{}]}}}})

    assert made["paths"]["/a"]["get"]["responses"]["404"] == {"$ref": "#/components/responses/NotFound"}


def test_pages_of_the_document_open(client: Client) -> None:
    response = client.get("/api/v1/docs")

    assert response.status_code == 200
    assert "/api/v1/schema" in client.get("/api/v1/docs?script=").text


def operations(document: Any) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def bodies(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return list(operation.get("requestBody", {}).get("content", {}).values())


def test_operations_are_named_by_what_they_do(document: Any) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]

    assert len(set(names)) == len(names)
    assert {"servers_list", "servers_get", "servers_start", "servers_move_port", "users_me_update"} <= set(names)
    assert [name for name in names if name.endswith(("_retrieve", "_destroy", "_partial_update"))] == []


def test_every_operation_says_what_it_does(document: Any) -> None:
    assert [name for name, operation in operations(document) if not operation.get("summary")] == []
    assert [name for name, operation in operations(document) if len(operation["tags"]) != 1] == []


def test_every_input_has_an_example_that_fits(document: Any) -> None:
    for name, operation in operations(document):
        for body in bodies(operation):
            validator = Draft202012Validator({**body["schema"], "components": document["components"]})

            assert body.get("examples"), name
            for example in body["examples"].values():
                assert [error.message for error in validator.iter_errors(example["value"])] == [], name


def test_changes_take_if_match_and_what_is_read_has_a_tag(document: Any) -> None:
    one = document["paths"]["/api/v1/servers/{id}"]

    assert "ETag" in one["get"]["responses"]["200"]["headers"]
    assert "304" in one["get"]["responses"]
    for method in ("patch", "delete"):
        assert "If-Match" in {each["name"] for each in one[method]["parameters"]}
        assert "412" in one[method]["responses"]


def test_catalogue_is_open_to_everybody(document: Any, client: Client) -> None:
    assert "security" not in document["paths"]["/api/v1/templates"]["get"]
    assert client.get("/api/v1/templates").status_code == 200
    assert client.get("/api/v1/templates/none").status_code == 404


def test_errors_are_shown_as_they_are(document: Any) -> None:
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}

    for answer in document["components"]["responses"].values():
        (body,) = answer["content"].values()
        Draft202012Validator(schema).validate(body["example"])
