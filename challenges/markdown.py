"""Markdown as pages show it: no HTML of the writer's comes through, and links lead only where browsers may go."""

from __future__ import annotations

from functools import lru_cache

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

# Raw HTML is shown as text; addresses such as javascript: are not made into links. Pictures from elsewhere would tell
# their hosts who reads, so they are left out.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


@lru_cache(maxsize=256)
def render(text: str) -> SafeString:
    """Safe HTML for a text."""
    return SafeString(_PARSER.render(text))
