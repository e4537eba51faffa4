"""A page in a real browser, watched: what it asks for, what it complains of, and how it looks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, Request

FLAGS = (
    "--no-sandbox",  # as root in a container there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 800), (390, 844)


def chromium() -> str | None:
    """Return the program of the system's Chromium; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def launch(playwright: Playwright, program: str) -> Browser:
    """Start the system's Chromium without a window; nothing is ever downloaded."""
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS), headless=True)


@dataclass
class Screen:
    """One page, and what was seen of it.

    Attributes:
        page: The page.
        home: Address of the control room.
        pictures: Folder that screenshots go to.
        foreign: Requests to anywhere else.
        complaints: What the console and scripts complained of.
    """

    page: Page
    home: str
    pictures: Path
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note every request and every complaint from now on."""
        self.page.on("request", self._note_request)
        self.page.on("console", lambda line: self._complain(line.text) if line.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self._complain(str(error)))

    def open(self, path: str) -> None:
        """Go to a page of the control room."""
        answer = self.page.goto(self.home + path)
        assert answer is not None
        assert answer.ok, f"{path} answered {answer.status}"

    def picture(self, name: str, of: Locator | None = None, *, is_whole: bool = False) -> None:
        """Keep a screenshot: of what is seen, of a part, or of the whole page."""
        path = self.pictures / f"{name}.png"
        if of is not None:
            of.screenshot(path=path, animations="disabled")
        else:
            self.page.screenshot(path=path, animations="disabled", full_page=is_whole)

    def violations(self, axe: str) -> list[str]:
        """Return what axe-core finds wrong with the page as it stands."""
        self.page.evaluate(axe)
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{self.page.url} {one['id']}: {one['help']} {[node['target'] for node in one['nodes'][:3]]}"
            for one in found["violations"]
        ]

    def settle(self) -> None:
        """Wait until everybody whom the first page asks has answered."""
        self.page.get_by_text("being asked").first.wait_for(state="detached", timeout=20_000)

    def measure(self, path: str) -> tuple[int, float]:
        """Load a page with nothing kept from before; return the bytes of all of it, and the server's seconds."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes: list[int] = []
        received = lambda answer: sizes.append(len(answer.body()))  # noqa: E731 - it is taken off again
        self.page.on("response", received)
        self.open(path)
        self.page.wait_for_load_state("load")
        self.page.remove_listener("response", received)
        timing = (
            "(([one]) => (one.responseStart - one.requestStart) / 1000)(performance.getEntriesByType('navigation'))"
        )
        spent: float = self.page.evaluate(timing)
        session.detach()
        return sum(sizes), spent

    def tab_to(self, role: str, name: str, *, most: int = 80) -> Locator:
        """Press the tabulator until a control has the focus, and return it; its focus must be seen."""
        wanted = self.page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                outline = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline != "none", f"nobody sees that {name!r} has the focus"
                return wanted
        raise AssertionError(f"the tabulator does not reach {role} {name!r} within {most} presses")

    def require_clean(self) -> None:
        """Hold that nothing left this machine, and that nothing complained."""
        assert self.foreign == []
        assert self.complaints == []

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith("data:") and urlsplit(request.url).netloc != urlsplit(self.home).netloc:
            self.foreign.append(request.url)

    def _complain(self, words: str) -> None:
        self.complaints.append(f"{self.page.url}: {words}")


@contextmanager
def window(
    browser: Browser, home: str, pictures: Path, *, is_phone: bool = False, is_dark: bool = False
) -> Iterator[Screen]:
    """Open a window of its own, with its own cookies, on a phone or a desktop."""
    width, height = PHONE if is_phone else DESKTOP
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if is_phone else 1,
        is_mobile=is_phone,
        has_touch=is_phone,
        color_scheme="dark" if is_dark else "light",
        reduced_motion="reduce",
    )
    try:
        screen = Screen(context.new_page(), home, pictures)
        screen.watch()
        yield screen
        screen.require_clean()
    finally:
        context.close()
