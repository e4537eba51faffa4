"""Every page of the control room as people meet it: on a phone and a desktop, by day and by night."""

from statistics import median

import httpx
import pytest

from tests.browser.conftest import Site
from tests.browser.screen import Screen, window
from tests.browser.viewers import ask

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install '.[browser]'")

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PAGES = {
    "control-room": "/",
    "rollouts": "/rollouts",
    "rollout": "/rollouts/{rollout}",
    "drift": "/drift",
    "incidents": "/incidents",
    "incident": "/incidents/{incident}",
    "quarantine": "/quarantine",
    "user": "/users?user=otto&surface=video",
    "audit-log": "/audit",
    "question": "/act/retrain",
    "sign-in": "/sign-in",
    "user-form": "/users",
}
MOST_BYTES, MOST_SECONDS = 200_000, 0.3
_SPILL = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def paths(site: Site) -> dict[str, str]:
    """Addresses of all pages; the ones of things are of things that are there."""
    from tests.browser.scene import judged, moved

    at = site.scene.now
    site.apart(lambda: judged(site.scene.platform, [moved(at)], at=at))
    incident = next(one for one in site.scene.platform.outbox.incidents() if one.state == "open").incident_id
    rollout = site.scene.platform.rollouts.rollouts()[-1].rollout_id
    return {name: path.format(rollout=rollout, incident=incident) for name, path in PAGES.items()}


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("is_phone", [False, True], ids=["desktop", "phone"])
def test_every_page_is_accessible_and_fits(
    site: Site, browser, axe: str, pictures, paths: dict[str, str], is_phone: bool, is_dark: bool
) -> None:
    found: list[str] = []
    with window(browser, site.settings.console_url, pictures, is_phone=is_phone, is_dark=is_dark) as screen:
        _sign_in(screen, site)
        for name, path in paths.items():
            screen.open(path)
            if name == "control-room":
                screen.settle()
            found += screen.violations(axe)
            spill = screen.page.evaluate(_SPILL)
            found += [f"{path} is {spill} px wider than the screen"] if spill > 0 else []
            screen.picture(
                f"page-{name}-{'phone' if is_phone else 'desktop'}{'-dark' if is_dark else ''}", is_whole=True
            )
    assert found == []


def test_every_page_is_light_and_answers_at_once(
    site: Site, gateway: httpx.Client, desktop: Screen, paths: dict[str, str]
) -> None:
    ask(gateway, "otto", watched="film-02")
    _sign_in(desktop, site)
    found = {}
    for name, path in paths.items():
        weights, seconds = zip(*(desktop.measure(path) for _ in range(3)), strict=True)
        found[name] = (max(weights), median(seconds))
    print(
        "".join(
            f"\n{name:14} {weight / 1000:6.1f} kB {1000 * spent:6.1f} ms" for name, (weight, spent) in found.items()
        )
    )
    assert {name: one for name, one in found.items() if one[0] > MOST_BYTES or one[1] > MOST_SECONDS} == {}


def _sign_in(screen: Screen, site: Site) -> None:
    screen.open("/sign-in")
    screen.page.get_by_label("Operator token").fill(site.settings.token())
    screen.page.get_by_role("button", name="Sign in").click()
    screen.page.get_by_role("button", name="Sign out").wait_for()
