"""Rules that hold for every template, style and script of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted(ROOT.glob("templates/**/*.html"))
SPRITE = ROOT / "static" / "icons" / "sprite.svg"
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgba?|hsla?|oklch)\(")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_no_inline_style_or_script(path):
    text = path.read_text()

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*(?:\bsrc=|application/json))|javascript:", text)


def test_colours_stand_in_the_tokens_only():
    for path in (ROOT / "static" / "css").glob("*.css"):
        if path.name != "tokens.css":
            assert not COLOUR.findall(path.read_text()), path.name


def test_every_icon_that_templates_name_is_in_the_sprite():
    known = set(re.findall(r'<symbol id="([a-z-]+)"', SPRITE.read_text()))
    named = {name for path in TEMPLATES for name in re.findall(r'{% icon "([a-z-]+)"', path.read_text())}

    assert named <= known


def test_states_and_places_have_icons_that_exist():
    from hub.pages import navigation
    from hub.pages.states import STATES

    known = set(re.findall(r'<symbol id="([a-z-]+)"', SPRITE.read_text()))
    shapes = {shape for states in STATES.values() for (_, shape), _ in states.values()}

    assert shapes <= known
    assert {place.icon for place in navigation._places} <= known
