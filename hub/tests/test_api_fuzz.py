"""The whole OpenAPI document against the hub: no input is a 5xx, and every answer is one that the document promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.tests.factories import token_for
from hub.api.schema import rendered_document

from .world import World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = {"admin": 10, "operator": 2, "viewer": 2, "owner": 4, "nobody": 2}


@pytest.fixture(autouse=True)
def _connection_stays() -> Iterator[None]:
    """Django closes connections between requests; this one holds the transaction of the test."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def real_keys(world: World, path: str) -> dict[str, Any]:
    """Path parameters that lead to something."""
    noun = path.split("/")[3]
    keys: dict[str, Any] = {
        "servers": {"id": str(world.server.pk)},
        "templates": {"slug": world.template.slug},
        "regions": {"slug": world.node.region.slug},
        "nodes": {"name": world.node.name},
        "address-pools": {"id": world.pool.pk},
        "addresses": {"id": world.address.pk},
        "operations": {"id": str(world.operation.pk)},
        "users": {"id": world.person("stranger").pk},
        "tokens": {"id": world.token.pk},
        "alerts": {"id": world.alert.pk},
        "alert-rules": {"slug": world.rule.slug},
        "alert-mutes": {"id": world.mute.pk},
        "announcements": {"id": world.announcement.pk},
        "challenges": {"slug": world.entry.challenge.slug},
        "event-challenges": {"id": world.entry.pk},
        "events": {"slug": world.entry.event.slug},
        "instances": {"id": str(world.instance.pk)},
        "submissions": {"id": world.submission.pk},
        "teams": {"id": world.team.pk},
        "channels": {"id": world.delivery.channel_id},
        "deliveries": {"id": str(world.delivery.pk)},
        "devices": {"id": str(world.device.pk)},
        "device-groups": {"slug": world.device_group.slug},
        "bundles": {"id": str(world.bundle.pk)},
        "publisher-keys": {"id": world.publisher.pk},
        "deployments": {"id": str(world.deployment.pk), "deployment": str(world.deployment.pk)},
        "enrolment-tokens": {"id": str(world.enrolment_token.pk)},
        "logs": {"id": world.device_log.pk},
    }
    return {name: value for name, value in keys.get(noun, {}).items() if f"{{{name}}}" in path}


def failures(operation: Any, keys: dict[str, Any], headers: dict[str, str], examples: int) -> list[str]:
    """What goes wrong in so many requests of one operation; whatever they store is taken back."""
    found: list[str] = []
    known = operation.as_strategy(path_parameters=keys) if keys else operation.as_strategy()
    wrong = operation.as_strategy(GenerationMode.NEGATIVE)

    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(known, known, wrong))
    def ask(case: Any) -> None:
        with transaction.atomic():
            answer = case.call(headers=headers)
            transaction.set_rollback(True)
        # Who asks for some fields gets those: then a schema's required ones may be missing.
        is_narrowed = answer.status_code == 200 and not {"fields", "brief"}.isdisjoint(case.query or {})
        try:
            case.validate_response(answer, checks=CHECKS, excluded_checks=[response_schema_conformance] * is_narrowed)
        except BaseExceptionGroup as group:
            found.extend(f"{operation.label} {answer.status_code}: {str(each)[:600]}" for each in group.exceptions)

    ask()
    return found


@pytest.mark.parametrize("role", EXAMPLES)
def test_no_input_breaks_the_hub_or_the_document(role: str, settings: Any) -> None:
    settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, 0)
    world = make_world()
    headers = {} if role == "nobody" else {"Authorization": f"Token {token_for(world.person(role))[1]}"}
    document = schemathesis.openapi.from_dict(json.loads(rendered_document("json")))
    document.app = get_wsgi_application()

    found: list[str] = []
    for result in document.get_all_operations():
        operation = result.ok()
        found += failures(operation, real_keys(world, operation.path), headers, EXAMPLES[role])

    assert not found, "\n\n".join(found)
