"""Pictures of pages for the docs, left by the tests that look at them when HUB_SCREENSHOTS names a directory."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from playwright.sync_api import Page

PICTURES = os.environ.get("HUB_SCREENSHOTS", "")
FORMAT = os.environ.get("HUB_SCREENSHOTS_FORMAT", "webp")
TALLEST = 2_400
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SETTLE_MS = 300
STILL = "() => { scrollTo(0, 0); document.activeElement?.blur() }"


def take_picture(page: Page, name: str) -> None:
    """The whole page, unless it is very tall; by the browser's own protocol, for Playwright makes no small pictures."""
    was = page.viewport_size or WIDE
    height = page.evaluate("document.documentElement.scrollHeight")
    # What sticks to the edges of the screen shall be at those of the picture.
    page.set_viewport_size({"width": was["width"], "height": min(max(height, was["height"]), TALLEST)})
    page.wait_for_timeout(SETTLE_MS)
    asked = {"format": FORMAT, **({"quality": 55} if FORMAT == "webp" else {})}
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
    page.set_viewport_size(was)
    folder = Path(__file__).parents[2] / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.{FORMAT}").write_bytes(base64.b64decode(taken["data"]))


def take_both(page: Page, name: str) -> None:
    """Wide and light, then narrow and dark, however the page is shown; it is left as it was."""
    if not PICTURES:
        return
    was = page.viewport_size or WIDE
    page.evaluate(STILL)
    for scheme, screen, end in (("light", WIDE, ""), ("dark", PHONE, "-phone")):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # literals
        page.set_viewport_size(screen)  # type: ignore[arg-type]  # as above
        take_picture(page, f"{name}{end}")
    page.emulate_media(color_scheme=None)
    page.set_viewport_size(was)
