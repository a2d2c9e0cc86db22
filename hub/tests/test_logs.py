"""Log lines."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from hub import context
from hub.logs import ContextFilter, HumanFormatter, JsonFormatter, scrub


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("servers.services").makeRecord(
        "servers.services", logging.WARNING, "f.py", 1, message, args, None, extra=extra
    )
    ContextFilter().filter(made)
    return made


def test_json_line_is_one_object_whatever_the_message_holds() -> None:
    line = JsonFormatter().format(record('broken "quote" \\ and\nnew line %s', "\x00ü"))

    entry = json.loads(line)
    assert "\n" not in line
    assert entry["message"] == 'broken "quote" \\ and\nnew line \x00ü'
    assert (entry["level"], entry["logger"]) == ("WARNING", "servers.services")
    assert entry["time"].endswith("+00:00")


def test_line_carries_request_user_and_job() -> None:
    with context.use(context.Context(request_id="r1", user="ada", job_id="j1")):
        made = record("Server %s started", 5)

    assert json.loads(JsonFormatter().format(made)) | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "servers.services",
        "message": "Server 5 started",
        "request_id": "r1",
        "user": "ada",
        "job_id": "j1",
    }
    assert HumanFormatter().format(made).endswith("servers.services: Server 5 started [request r1 user ada job j1]")


def test_line_without_a_request_names_none() -> None:
    assert "request" not in HumanFormatter().format(record("tick"))


@pytest.mark.parametrize("formatter", [JsonFormatter(), HumanFormatter()])
def test_exception_is_logged_and_scrubbed(formatter: logging.Formatter) -> None:
    made = record("failed")
    try:
        raise ValueError("cannot reach postgresql://hub:hunter2@db/hub")
    except ValueError:
        made.exc_info = sys.exc_info()

    line = formatter.format(made)

    assert "ValueError: cannot reach postgresql://hub:[hidden]@db/hub" in line
    assert "Traceback" in line


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Token hunter2-0123456789",
        "{'authorization': 'Bearer hunter2'}",
        "Cookie: sessionid=hunter2; csrftoken=hunter2",
        "GET /reset?token=hunter2&next=/",
        "GET /a?api_key=hunter2 HTTP/1.1",
        "login password=hunter2, again",
        "rcon_password=hunter2",
        "redis://:hunter2@redis:6379/0",
        "postgresql://hub:hunter2@db/hub",
        "created hub_hunter2abcdefghijkl0123456789",
        '{"password": "hunter2"}',
        "{'new_password': 'hunter2'}",
        r'body: "{\"token\": \"hunter2\"}"',
        "password: hunter2",
    ],
)
def test_credentials_are_hidden(text: str) -> None:
    assert "hunter2" not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "Server 5 started on 127.0.0.1:25565",
        "GET /api/v1/tokens 200 3.1 ms",
        "token 7 revoked",
        "hub_periodicrun has 12 rows",
        "http://localhost:8000/servers?page=2",
        "user ada@example.org",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert scrub(text) == text
