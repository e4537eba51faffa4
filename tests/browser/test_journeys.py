"""What a person does in the control room, in a real browser over a stack that is up."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from tests.browser.conftest import Site
from tests.browser.screen import Screen
from tests.browser.viewers import ask, click, crowd, send

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install '.[browser]'")

from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

_PICTURED = 5
"""The look at which the canary that still runs is pictured."""
LIVE = 20_000
"""Milliseconds within which a page shows what has changed, without being loaded again."""


def sign_in(screen: Screen, site: Site) -> None:
    """Sign in on the page that asks for it."""
    screen.page.get_by_label("Operator token").fill(site.settings.token())
    screen.page.get_by_role("button", name="Sign in").click()


def until(holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_find_out_why_the_recommendations_of_a_user_changed(
    site: Site, gateway: httpx.Client, desktop: Screen, phone: Screen
) -> None:
    """With the keyboard alone."""
    first = ask(gateway, "nina", watched="film-05")
    send(gateway, [click(first, "film-07")])
    body = {"item_ids": ["film-09"], "reason": "a complaint about the music"}
    gateway.post("/v1/admin/takedown", json=body).raise_for_status()
    until(lambda: gateway.get("/v1/status").json()["taken_down"] == 1)
    until(lambda: "film-09" not in [one["item_id"] for one in ask(gateway, "nina")["items"]])
    keys = desktop.page.keyboard

    desktop.open("/")
    keys.press("Tab")
    expect(desktop.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    desktop.tab_to("link", "Users")
    keys.press("Enter")
    expect(desktop.page.get_by_role("heading", level=1)).to_have_text("Lists of a user")
    desktop.tab_to("textbox", "User id")
    keys.type("nina")
    keys.press("Enter")

    why = desktop.page.get_by_role("region", name="Why lists changed")
    causes = why.get_by_role("cell").filter(has_text="film-09 was taken down (a complaint about the music)")
    expect(causes.first).to_be_visible()
    expect(why.get_by_role("cell").filter(has_text="the user consumed film-07").first).to_be_visible()
    expect(desktop.page.get_by_role("article", name="champion: ")).to_contain_text("Rain in Valparaíso")
    desktop.picture("why-recommendations-changed", is_whole=True)
    desktop.picture("why-lists-changed", why)
    phone.open("/users?user=nina&surface=video")
    phone.picture("why-recommendations-changed-phone", is_whole=True)


def test_acknowledge_an_incident_and_see_it_resolve(site: Site, desktop: Screen, phone: Screen) -> None:
    from tests.browser.scene import calm, judged, moved

    page, platform = desktop.page, site.scene.platform
    site.apart(lambda: judged(platform, [moved(datetime.now(UTC))], at=datetime.now(UTC)))
    phone.open("/incidents")
    phone.picture("incident-open-phone")
    desktop.open("/")
    desktop.picture("incident-open", page.locator("#incidents"))

    page.locator("#incidents").get_by_role("link", name="Acknowledge Data figures").click()
    sign_in(desktop, site)
    expect(page.get_by_role("heading", level=1)).to_have_text("Take care of this incident?")
    page.get_by_label("Note").fill("The supplier sends stars of ten; I ask for stars of five.")
    desktop.picture("incident-acknowledge")
    page.get_by_role("button", name="Acknowledge").click()

    expect(page.get_by_role("status").filter(has_text="owner takes care of incident")).to_be_visible()
    page.evaluate("window.neverLoadedAgain = true")
    site.apart(lambda: judged(platform, [calm()], at=datetime.now(UTC)))
    expect(page.get_by_text("resolved").first).to_be_visible(timeout=LIVE)
    assert page.evaluate("window.neverLoadedAgain")
    desktop.picture("incident-resolved")


def test_pause_the_daily_lifecycle_on_a_phone(site: Site, phone: Screen) -> None:
    from tests.flows.homes import api

    page = phone.page
    phone.open("/")
    row = page.locator("#schedules").get_by_role("row").filter(has_text="daily/daily")
    expect(row).to_contain_text("on", timeout=LIVE)
    page.get_by_role("link", name="Pause daily/daily").tap()
    sign_in(phone, site)
    expect(page.get_by_role("heading", level=1)).to_have_text("Pause daily/daily?")
    page.get_by_label("Why").fill("The source moves to another address tonight.")
    phone.picture("pause-asks-phone")
    page.get_by_role("button", name="Pause", exact=True).tap()

    expect(page.get_by_role("status").filter(has_text="daily/daily is paused.")).to_be_visible()
    expect(row).to_contain_text("paused", timeout=LIVE)
    row.scroll_into_view_if_needed()
    phone.picture("paused-phone")
    (daily,) = [one for one in api(site.settings, "deployments/filter", {}) if one["name"] == "daily"]
    assert daily["paused"]
    page.get_by_role("link", name="Resume daily/daily").tap()
    page.get_by_label("Why").fill("It has moved.")
    page.get_by_role("button", name="Resume", exact=True).tap()
    expect(row).to_contain_text("on", timeout=LIVE)
    assert not api(site.settings, f"deployments/{daily['id']}", method="GET")["paused"]


def test_watch_a_canary_fail_and_roll_back(site: Site, gateway: httpx.Client, desktop: Screen, phone: Screen) -> None:
    """Nobody loads a page again: what people click reaches the judge, and the judge's word the screen."""
    from flows.canary import look
    from tests.browser.scene import begin_canary

    page, rng = desktop.page, site.scene.rng
    desktop.open("/")
    page.evaluate("window.neverLoadedAgain = true")
    rollout_id = site.apart(lambda: begin_canary(site.scene))
    until(lambda: [slot["state"] for slot in gateway.get("/v1/status").json()["slots"]] == ["ready", "ready"])
    canary = page.get_by_role("region", name="Canary")
    expect(canary).to_contain_text(f"{rollout_id}: version 5 against version 4, running", timeout=LIVE)
    phone.open(f"/rollouts/{rollout_id}")

    rolled = None
    for batch in range(40):
        crowd(gateway, range(batch * 30, (batch + 1) * 30), rng=rng)
        time.sleep(0.3)  # the gateway writes what it served every so often
        rolled = site.apart(look)
        if rolled.state != "running":
            break
        if batch == _PICTURED:
            expect(canary.get_by_role("img")).to_be_visible(timeout=LIVE)
            desktop.page.set_viewport_size({"width": 1280, "height": 1000})
            desktop.picture("canary-running")
            page.emulate_media(color_scheme="dark")
            desktop.picture("canary-running-dark")
            page.emulate_media(color_scheme="light")

    assert rolled is not None
    assert (rolled.state, rolled.rule) == ("rolled_back", "primary_worse")
    expect(canary).to_contain_text("rolled back", timeout=LIVE)
    expect(page.locator("#live")).to_contain_text(f"Rollout {rollout_id} is rolled back.")
    assert page.evaluate("window.neverLoadedAgain")
    desktop.picture("canary-rolled-back", canary)
    expect(phone.page.get_by_text("rolled back").first).to_be_visible(timeout=LIVE)
    phone.picture("canary-rolled-back-phone")
    until(lambda: [slot["role"] for slot in gateway.get("/v1/status").json()["slots"]] == ["champion"])
