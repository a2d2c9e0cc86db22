"""Fragments: 304 while nothing changed, 286 when nothing will, apart from the page of the same address."""

from __future__ import annotations

from django.test import RequestFactory

from hub.pages import live

TEMPLATE = "components/crumbs.html"


def ask(**headers):
    return RequestFactory().get("/", headers={"HX-Request": "true", **headers})


def test_fragment_that_the_browser_has_is_not_sent_again():
    tag = live.etag("a", 1)

    answer = live.answer(ask(**{"If-None-Match": tag}), TEMPLATE, {"here": "x"}, tag=tag)

    assert (answer.status_code, answer.content) == (304, b"")


def test_fragment_with_news_is_sent_with_its_tag():
    answer = live.answer(ask(**{"If-None-Match": '"old"'}), TEMPLATE, {"here": "x"}, tag=live.etag("a", 2))

    assert (answer.status_code, answer["ETag"]) == (200, live.etag("a", 2))


def test_final_fragment_ends_the_polling():
    assert live.answer(ask(), TEMPLATE, {}, tag='"t"', is_final=True).status_code == 286


def test_answers_stay_private_and_apart_from_the_page():
    answer = live.answer(ask(), TEMPLATE, {}, tag='"t"')

    assert answer["Cache-Control"] == "private, no-cache"
    assert "HX-Request" in answer["Vary"]


def test_only_the_named_target_is_a_fragment():
    assert live.is_fragment(ask(**{"HX-Target": "list"}), "list")
    assert not live.is_fragment(ask(**{"HX-Target": "other"}), "list")
    assert not live.is_fragment(RequestFactory().get("/"))
