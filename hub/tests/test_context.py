"""Who is asking."""

from __future__ import annotations

import threading

from hub import context


def test_context_is_set_for_a_block_only() -> None:
    with context.use(context.Context(request_id="r1", ip="203.0.113.5", via="api")):
        inside = context.current()

    assert (inside.request_id, inside.ip, inside.via) == ("r1", "203.0.113.5", "api")
    assert context.current() == context.Context()


def test_amend_changes_only_what_it_names() -> None:
    with context.use(context.Context(request_id="r1", via="web")):
        context.amend(user="ada")

        assert context.current() == context.Context(request_id="r1", via="web", user="ada")


def test_what_was_amended_ends_with_the_block() -> None:
    with context.use(context.Context(request_id="r1")):
        context.amend(user="ada")

    assert context.current().user == ""


def test_another_thread_does_not_see_it() -> None:
    seen = []

    with context.use(context.Context(request_id="r1")):
        thread = threading.Thread(target=lambda: seen.append(context.current().request_id))
        thread.start()
        thread.join()

    assert seen == [""]


def test_request_ids_differ() -> None:
    assert len({context.new_request_id() for _ in range(100)}) == 100
