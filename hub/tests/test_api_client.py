"""The generated Python client, against a hub that serves."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from accounts.tests.factories import UserFactory, token_for
from challenges.tests.factories import EntryFactory, TeamFactory, participate
from hub.api.client import generator, runtime
from hub.api.schema import rendered_document
from hub.management.commands import api_client
from hub.testing import replace_sleep
from servers.models import GameServer
from servers.tests.factories import TemplateFactory, make_node, make_server


def load(path: Any) -> ModuleType:
    """The file as somebody's program would import it."""
    spec = importlib.util.spec_from_file_location("kutanga_hub", path)
    if spec is None or spec.loader is None:
        raise LookupError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


client_module = load(api_client.PLACE)
HubError = client_module.HubError


@pytest.fixture
def owner(transactional_db: None) -> User:
    return UserFactory(username="owner")


@pytest.fixture
def hub(owner: User, live_server: LiveServer) -> Any:
    make_node(name="local")
    TemplateFactory(slug="sample")
    return client_module.Hub(live_server.url, token_for(owner)[1])


class Script(BaseHTTPRequestHandler):
    """Answers what the test wrote down, in its order, and notes what it was asked."""

    answers: list[tuple[int, dict[str, str], Any]]
    asked: list[tuple[str, str, dict[str, str]]]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, dict(self.headers)))
        status, headers, body = self.answers.pop(0)
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    handler = type("Scripted", (Script,), {"answers": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]  # for the test
    handler.naps = []  # type: ignore[attr-defined]  # for the test
    replace_sleep(monkeypatch, client_module, handler.naps.append)  # type: ignore[attr-defined]  # for the test
    yield handler
    server.shutdown()
    server.server_close()


def test_file_is_what_the_document_says() -> None:
    call_command("api_client", check=True)


def test_file_out_of_date_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "generate", lambda document: "other")

    with pytest.raises(CommandError, match="out of date"):
        call_command("api_client", check=True)


def test_every_operation_has_a_method() -> None:
    document = json.loads(rendered_document("json"))
    hub = client_module.Hub("http://nowhere")

    for operations in document["paths"].values():
        for operation in operations.values():
            group = operation["tags"][0].replace("-", "_")
            name = operation["operationId"].removeprefix(f"{group}_")
            assert callable(getattr(getattr(hub, group), name)), operation["operationId"]


def test_words_of_the_language_get_an_underscore() -> None:
    assert generator.Argument("from", "str", "query", False).declared == "from_: str | None = None"


def test_server_is_made_changed_and_deleted(hub: Any) -> None:
    server = hub.servers.create(name="survival", template="sample", region="eu-central-1")

    stored = hub.servers.get(server["id"])
    changed = hub.servers.update(server["id"], if_match=stored.etag, name="creative")
    gone = hub.servers.delete(server["id"], if_match=changed.etag)

    assert (stored["name"], changed["name"]) == ("survival", "creative")
    assert (gone["operation"]["verb"], GameServer.objects.get().desired_status) == ("delete", "deleted")


def test_list_is_fetched_page_by_page(hub: Any, owner: User) -> None:
    other = UserFactory(role="Operator")
    for number in range(5):
        make_server(owner=owner if number else other, name=f"server {number}")

    servers = hub.servers.list(limit=2, ordering="name")

    assert [server["name"] for server in servers] == ["server 1", "server 2", "server 3", "server 4"]
    assert servers.count == 4
    assert hub.servers.list(q="server 3", fields="name").first() == {"name": "server 3"}
    assert hub.servers.list(q="nothing").first() is None
    assert [row["name"] for row in hub.servers.list(ordering="name", offset=3)] == ["server 4"]
    assert hub.servers.list(fields="name", ordering="name").csv().splitlines()[:2] == ["name", "server 1"]


def test_refusal_is_an_exception_with_all_that_is_known(hub: Any) -> None:
    with pytest.raises(HubError) as refusal:
        hub.servers.create(name="x", template="sample", region="eu-central-1")

    error = refusal.value
    assert (error.status, error.code, list(error.fields)) == (400, "invalid", ["name"])
    assert len(error.request_id) == 32
    assert error.request_id in str(error)


def test_change_of_somebody_else_is_told(hub: Any) -> None:
    server = hub.servers.create(name="survival", template="sample", region="eu-central-1")
    tag = hub.servers.get(server["id"]).etag
    hub.servers.update(server["id"], name="other")

    with pytest.raises(HubError) as refusal:
        hub.servers.update(server["id"], if_match=tag, name="mine")

    assert (refusal.value.status, refusal.value.code) == (412, "changed_meanwhile")


def test_results_of_many_come_as_rows(hub: Any) -> None:
    server = hub.servers.create(name="survival", template="sample", region="eu-central-1")

    (row,) = hub.servers.bulk(verb="stop", ids=[server["id"]])

    assert (row["status"], row["error"]) == (202, None)


def test_file_goes_up_and_comes_down(live_server: LiveServer, settings: Any, tmp_path: Any) -> None:
    settings.HUB_CHALLENGE_FILES = tmp_path / "kept"
    entry, player = EntryFactory(), UserFactory()
    participate(entry.event, TeamFactory(captain=player))
    staff = client_module.Hub(live_server.url, token_for(UserFactory(role="Operator"))[1])
    path = tmp_path / "a.zip"
    path.write_bytes(b"\r\n--\x00\xff")

    made = staff.challenges.files(entry.challenge.slug, file=path)
    named = staff.challenges.files(entry.challenge.slug, file=('b".txt', b"b"), name="notes.txt")
    hub = client_module.Hub(live_server.url, token_for(player)[1])
    fetched = hub.event_challenges.file(id=entry.pk, file=made["id"])

    assert ((made["name"], fetched), named["name"]) == (("a.zip", b"\r\n--\x00\xff"), "notes.txt")


def test_piece_of_an_upload_is_sent(script: Any) -> None:
    script.answers += [(200, {}, {"received": 3})]

    client_module.Hub(script.url).bundles.piece("7", offset=0, content="YWJj")

    assert script.asked[0][:2] == ("POST", "/api/v1/bundles/7/piece")


def test_name_of_a_file_ends_no_line_of_a_form() -> None:
    content = runtime._form({"file": ('a"\r\nX: y', b"z")})[1]

    assert b'filename="a%22%0D%0AX: y"' in content


def test_creation_without_an_answer_is_asked_again_with_the_same_key(script: Any) -> None:
    script.answers += [(503, {"Retry-After": "2"}, {"code": "unavailable"}), (201, {}, {"id": "7"})]

    made = client_module.Hub(script.url).servers.create(name="survival", template="sample")

    keys = [headers["Idempotency-Key"] for _, _, headers in script.asked]
    assert (made, script.naps) == ({"id": "7"}, [2.0])
    assert keys[0] == keys[1]


def test_change_without_an_answer_is_not_asked_again(script: Any) -> None:
    script.answers += [(503, {}, {"code": "unavailable"})]

    with pytest.raises(HubError):
        client_module.Hub(script.url).servers.start("7")

    assert len(script.asked) == 1


def test_too_often_waits_as_long_as_the_hub_says(script: Any) -> None:
    script.answers += [(429, {"Retry-After": "3"}, {"code": "too_many_requests"}), (200, {}, {"operation": None})]

    client_module.Hub(script.url).servers.start("7")

    assert script.naps == [3.0]


def test_longer_than_a_minute_is_for_the_caller_to_wait(script: Any) -> None:
    script.answers += [(429, {"Retry-After": "3600"}, {"code": "too_many_requests"})]

    with pytest.raises(HubError) as refusal:
        client_module.Hub(script.url).servers.start("7")

    assert (refusal.value.retry_after, script.naps) == (3600.0, [])


def test_token_does_not_follow_a_redirect(script: Any) -> None:
    script.answers += [(302, {"Location": f"{script.url}/elsewhere"}, None)]

    with pytest.raises(HubError) as refusal:
        client_module.Hub(script.url, "hub_secret").servers.get("7")

    assert (refusal.value.status, len(script.asked)) == (302, 1)


def test_key_stays_one_part_of_the_path(script: Any) -> None:
    script.answers += [(200, {}, {})]

    client_module.Hub(script.url).servers.get("../users/1?x=")

    assert script.asked[0][1] == "/api/v1/servers/..%2Fusers%2F1%3Fx%3D"


def test_no_answer_at_all_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    replace_sleep(monkeypatch, client_module, naps.append)

    with pytest.raises(HubError) as refusal:
        client_module.Hub("http://127.0.0.1:1").servers.get("7")

    assert (refusal.value.status, refusal.value.code, naps) == (0, "no_answer", [0.5, 1.0, 2.0])
