"""A team's whole path and the organiser's pages in a real browser: sound for axe, on a wide screen and a dark phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache
from django.db import connection
from playwright.sync_api import Browser, Page, expect

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from challenges import flags, services
from challenges.models import DeployRun, Event, EventChallenge, Participation, ScoreEvent, Submission, Team
from hub.engines.fake import FakeEngine
from hub.nodes.tests.factories import NodeFactory
from hub.tests.pictures import PHONE, PICTURES, WIDE, take_both

from .arena import lb_pool, make_arena, runnable
from .factories import ContainerFactory, EntryFactory, EventFactory, HintFactory, TeamFactory, participate

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SERIOUS = ("serious", "critical")
TEAMS = ("Blue Baobabs", "Null Pointers", "Harare Hackers", "Segfault Sunday")
MORE = (
    ("Salted hashes", "crypto", 150),
    ("Old ledger", "forensics", 200),
    ("Stack of plates", "pwn", 300),
    ("Whistling kettle", "misc", 100),
)


COUNT_SOUNDS = """
const { start } = OscillatorNode.prototype;
OscillatorNode.prototype.start = function () { window.sounds = (window.sounds ?? 0) + 1; start.call(this) };
"""


def fill() -> None:
    """An event with three challenges, one of them locked, and a team that has solved one."""
    cache.clear()
    event = EventFactory(name="Night of flags", slug="night-of-flags")
    first = EntryFactory(event=event, challenge__name="Leaky shop", challenge__slug="leaky-shop")
    HintFactory(challenge=first.challenge, title="Where to look")
    locked = EntryFactory(event=event, challenge__name="Vault")
    locked.requires.add(first)
    solved = EntryFactory(event=event, challenge=ContainerFactory(challenge__category="pwn").challenge)
    other = participate(event).team
    services.submit_answer(event, solved.challenge.slug, actor=other.captain, answer="flag{right}")
    admin = UserFactory(username="tendai", role="Admin")
    if PICTURES:
        fill_up(event)
    services.announce(actor=admin, title="Pizza", message="In the hall.", ui_type="alert", has_sound=True)
    UserFactory(username="rudo")
    connection.close()


def fill_up(event: Event) -> None:
    """What a picture of the event wants besides: teams that play, and challenges of several categories."""
    entries = []
    for name, category, points in MORE:
        text = f"They say nobody has looked at **{name}** for years."
        more = {"challenge__category": category, "challenge__points": points, "challenge__description": text}
        entries.append(EntryFactory(event=event, challenge__name=name, **more))
    for rank, name in enumerate(TEAMS):
        team = participate(event, TeamFactory(name=name)).team
        for entry in entries[rank:]:
            services.submit_answer(event, entry.challenge.slug, actor=team.captain, answer="flag{right}")


def log_in(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("User name or e-mail").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{url}/")


def wrong_with(page: Page, screen: dict[str, int]) -> list[str]:
    """What axe finds serious, and whether the page is wider than the screen."""
    found = [
        f"{page.url}: {violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in SERIOUS
    ]
    wide = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"{page.url} is {wide} px wide"] if wide > screen["width"] else [])


def test_path_of_a_team_on_a_dark_phone(browser: Browser, live_server: Any) -> None:
    fill()
    page = browser.new_context(color_scheme="dark", viewport=PHONE).new_page()
    page.add_init_script(COUNT_SOUNDS)
    log_in(page, live_server.url, "rudo")
    found: list[str] = []

    page.goto(f"{live_server.url}/teams/")
    found += wrong_with(page, PHONE)
    page.get_by_label("Name").fill("Owls")
    page.get_by_role("button", name="Make team").click()
    page.get_by_role("heading", name="Join code").wait_for()
    found += wrong_with(page, PHONE)
    take_both(page, "team")
    page.goto(f"{live_server.url}/events/night-of-flags")
    page.get_by_text("In the hall.").wait_for()
    page.wait_for_function("window.sounds === 1")
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("link", name="Play").click()
    found += wrong_with(page, PHONE)
    take_both(page, "play")
    page.get_by_role("link", name="Leaky shop").click()
    page.get_by_role("button", name="Take Where to look").click()
    page.get_by_label("Flag").fill("no")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Not right.").first.wait_for()
    expect(page.get_by_label("Flag")).to_have_value("no")
    found += wrong_with(page, PHONE)
    take_both(page, "play-challenge")
    page.reload()  # asks for the page, and does not send the answer again
    expect(page.get_by_label("Flag")).to_have_value("")
    page.get_by_label("Flag").fill("flag{right}")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("you are the first").first.wait_for()
    for path in ("play", "scoreboard", "score"):
        page.goto(f"{live_server.url}/events/night-of-flags/{path}")
        found += wrong_with(page, PHONE)
        take_both(page, f"team-{path}")

    assert not found, "\n".join(found)
    assert ScoreEvent.objects.filter(team=Team.objects.get(name="Owls"), completes=True).count() == 1
    assert Submission.objects.filter(outcome="incorrect").count() == 1


def fill_for_organiser() -> dict[str, str]:
    """The same with a challenge that runs; answers the address of each page by its name."""
    fill()
    container = ContainerFactory(challenge__state="test", challenge__name="Cookie jar")
    lb_pool(NodeFactory())
    admin = User.objects.get(username="tendai")
    copy = services.launch_test(container.challenge, actor=admin, team=Team.objects.earliest("pk")).instance
    vault = EventChallenge.objects.get(challenge__name="Vault").pk
    team = Participation.objects.earliest("pk").team_id
    run = DeployRun.objects.create(
        event=Event.objects.get(), challenge=container.challenge, actor_name="tendai", waiting=[team]
    )
    connection.close()
    return {
        "events": "events/",
        "event": "events/night-of-flags",
        "event-new": "events/new",
        "event-edit": "events/night-of-flags/edit",
        "event-password": "events/night-of-flags/password",
        "scoreboard": "events/night-of-flags/scoreboard",
        "event-submissions": "events/night-of-flags/submissions",
        "deploy-run": run.get_absolute_url().lstrip("/"),
        "teams": "teams/",
        "team-edit": f"teams/{team}/edit",
        "team-join": "teams/join",
        "challenges": "challenges/",
        "challenge": "challenges/leaky-shop",
        "challenge-new": "challenges/new",
        "challenge-edit": f"challenges/{container.challenge.slug}/edit",
        "announcements": "announcements/",
        "announcement-new": "announcements/new",
        "instances-empty": "instances/",
        "instances-addresses": "instances/addresses",
        "event-challenge": f"events/night-of-flags/challenges/{vault}/edit",
        "team-award": f"events/night-of-flags/teams/{team}/award",
        "challenge-container": f"challenges/{container.challenge.slug}",
        "instance": copy.get_absolute_url().lstrip("/"),
        "instance-log": f"{copy.get_absolute_url().lstrip('/')}/log",
    }


def test_pages_of_the_organiser_are_sound(browser: Browser, live_server: Any) -> None:
    pages = fill_for_organiser()
    page = browser.new_context(color_scheme="light", viewport=WIDE).new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    log_in(page, live_server.url, "tendai")
    found: list[str] = []

    for name, path in pages.items():
        page.goto(f"{live_server.url}/{path}")
        found += wrong_with(page, WIDE)
        take_both(page, name)
        if name in ("event", "challenge"):
            page.set_viewport_size(PHONE)
            found += wrong_with(page, PHONE)
            page.set_viewport_size(WIDE)

    page.goto(f"{live_server.url}/challenges/new")
    page.locator("[name=flags-0-new_content]").fill("flag{typed}")
    page.get_by_role("button", name="Add a flag").click()
    assert page.locator("[name=flags-0-new_content]").input_value() == "flag{typed}"
    expect(page.locator("[name=flags-1-new_content]")).to_be_visible()
    page.set_viewport_size(PHONE)
    found += wrong_with(page, PHONE)

    assert not found, "\n".join(found)
    assert not complaints


def test_team_launches_from_the_box_and_the_organiser_follows_it(browser: Browser, live_server: Any) -> None:
    """Launch, countdown, connection line, answer: on a dark phone. Then the organiser's board, wide and narrow."""
    cache.clear()
    FakeEngine.reset()
    arena = make_arena(teams=1, name="Night of flags", slug="night-of-flags")
    challenge, team = runnable(arena.event), arena.teams[0]
    challenge.name, team.name = "Cookie jar", "Null Pointers"
    challenge.save()
    team.save()
    flag = flags.flag_for(challenge.flags.get(), team, arena.event)
    UserFactory(username="tendai", role="Operator")
    context = browser.new_context(color_scheme="dark", viewport=PHONE)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    log_in(page, live_server.url, team.captain.username)
    found: list[str] = []

    page.goto(f"{live_server.url}/events/{arena.event.slug}/play/{challenge.slug}")
    box = page.locator("#instance")
    box.get_by_role("button", name="Launch").click()
    expect(box).to_contain_text("Queued")
    arena.work()
    expect(box).to_contain_text("Running")
    expect(box).to_contain_text(re.compile(r"ends in (1 hour|59 min)"))
    found += wrong_with(page, PHONE)
    take_both(page, "play-instance")
    box.get_by_role("button", name="Copy connection").click()
    expect(page.locator("#toasts")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "http://192.168.250.100:8080/"
    assert flag not in page.content()
    page.get_by_label("Flag").fill(flag)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("you are the first").first.wait_for()
    found += wrong_with(page, PHONE)

    for scheme, screen in (("light", WIDE), ("dark", PHONE)):
        staff = browser.new_context(color_scheme=scheme, viewport=screen).new_page()  # type: ignore[arg-type]  # literals
        log_in(staff, live_server.url, "tendai")
        staff.goto(f"{live_server.url}/instances/?event={arena.event.slug}")
        board = staff.locator("#list")
        for told in (team.name, challenge.name, "192.168.250.100", "Running"):
            expect(board).to_contain_text(told)
        found += wrong_with(staff, screen)
        take_both(staff, "instances")
        staff.goto(f"{live_server.url}/instances/addresses")
        expect(staff.locator("main")).to_contain_text(team.name)
        found += wrong_with(staff, screen)
        take_both(staff, "instance-addresses")

    assert not found, "\n".join(found)
