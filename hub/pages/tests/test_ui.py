"""Template tags: sizes, times, markup that cannot be broken out of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hub.pages.states import Badge
from hub.pages.templatetags import ui

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("megabytes", "text"),
    [(None, "–"), (0, "0 MiB"), (512, "512 MiB"), (1024, "1 GiB"), (1536, "1.5 GiB"), (8192, "8 GiB")],
)
def test_size_reads_in_the_largest_unit(megabytes, text):
    assert ui.size(megabytes) == text


@pytest.mark.parametrize(("megabytes", "text"), [(500, "500 MB"), (10_000, "10 GB"), (2_500, "2.5 GB")])
def test_disk_reads_in_decimal_units(megabytes, text):
    assert ui.disk(megabytes) == text


@pytest.mark.parametrize(("percent", "text"), [(100, "1 core"), (250, "2.5 cores"), (10, "0.1 cores")])
def test_cores_read_as_people_count_them(percent, text):
    assert ui.cores(percent) == text


@pytest.mark.parametrize(
    ("back", "text"),
    [
        (timedelta(seconds=12), "12 s ago"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(hours=30), "yesterday"),
        (timedelta(days=4), "4 d ago"),
        (timedelta(minutes=-5), "in 5 min"),
    ],
)
def test_relative_time(back, text):
    assert ui.relative(NOW - back, NOW) == text


def test_old_moments_read_as_dates():
    assert ui.relative(NOW - timedelta(days=60), NOW) == "22 Sep 2026"


def test_badge_has_shape_and_word_and_escapes_the_reason():
    html = ui.badge_html(Badge("bad", "s-bad", "Failed", why="<script>"))

    assert "#s-bad" in html
    assert "<span>Failed</span>" in html
    assert "&lt;script&gt;" in html


def test_progress_is_an_attribute_and_no_style():
    html = ui.badge_html(Badge("busy", "s-busy", "Pulling", percent=64))

    assert 'value="64"' in html
    assert "style=" not in html


def test_copy_button_escapes_what_it_copies():
    assert "&quot;" in ui.copy_button('a"b')


def test_split_never_passes_its_end():
    html = ui.split(10, "a", 8, "b", 5)

    assert 'width="80.00%"' in html
    assert 'width="20.00%"' in html


def test_split_of_nothing_is_empty():
    assert 'width="0.00%"' in ui.split(0, "a", 3)


def test_changes_read_as_old_and_new():
    assert ui.data_words({"before": {"name": "a"}, "after": {"name": "b"}, "reason": "why"}) == [
        "name: a → b",
        "reason: why",
    ]


@pytest.mark.parametrize(("name", "letters"), [("tendai", "TE"), ("ci-bundles", "CB"), ("a.b", "AB")])
def test_initials(name, letters):
    assert ui.initials(name) == letters
