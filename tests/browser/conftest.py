"""A stack of real services over a home with a past, and a real Chromium to look at it."""

import asyncio
import contextvars
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest

from tests.browser.screen import Screen, chromium, launch, window

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from infra.settings import Settings
    from tests.browser.scene import Scene

T = TypeVar("T")
PORTS = ("gateway", "console", "prefect", "mlflow")
_PICTURES = Path(__file__).parent.parent.parent / "build" / "screenshots"


@dataclass(frozen=True)
class Site:
    """A stack that is up.

    Attributes:
        settings: Of its home.
        scene: What is in it.
        apart: Calls a function away from the browser's event loop, in the stack's environment.
    """

    settings: "Settings"
    scene: "Scene"
    apart: Callable[[Callable[[], T]], T]


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, as a package brings it."""
    pytest.importorskip(
        "axe_playwright_python", reason="axe-playwright-python is not installed: pip install '.[browser]'"
    )
    return (files("axe_playwright_python") / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Folder of the screenshots, which outlives the tests."""
    folder = Path(os.environ.get("EVERFEED_SCREENSHOTS") or _PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The system's Chromium, or a reason why there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install '.[browser]'")
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = launch(playwright, program)
        yield started
        started.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Prefect, MLflow, gateway and control room as `everfeed up` starts them, over a home with a past."""
    with ThreadPoolExecutor(1) as thread, ExitStack() as open_things:
        site = thread.submit(lambda: open_things.enter_context(_stack(tmp_path_factory.mktemp("home"))))
        context, settings, scene = site.result()
        yield Site(settings, scene, lambda call: thread.submit(context.copy().run, call).result())
        thread.submit(open_things.close).result()


@contextmanager
def _stack(home: Path) -> Iterator[tuple[contextvars.Context, "Settings", "Scene"]]:
    from mlflow import MlflowClient
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    from flows.services import require_database, stack_services
    from flows.wiring import connect
    from infra.settings import Settings
    from infra.supervisor import Stack
    from tests.browser.scene import past
    from tests.flows.homes import free_port

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERFEED_HOME", str(home))
        for name in PORTS:
            patch.setenv(f"EVERFEED_{name.upper()}_PORT", str(free_port()))
        settings = Settings()
        require_database(settings)
        MlflowClient(tracking_uri=settings.mlflow).search_experiments()  # before its server makes the tables too
        stack = Stack(settings, stack_services(settings, with_schedules=False))
        try:
            stack.start()
            scene = past(connect(settings), now=datetime.now(UTC))
            stack.wait_ready(timeout_seconds=180)
            values = {
                PREFECT_HOME: home / "prefect",
                PREFECT_API_URL: f"{settings.prefect_url}/api",
                PREFECT_LOGGING_TO_API_ENABLED: False,
            }
            with temporary_settings(values):
                _schedule(settings)
                yield contextvars.copy_context(), settings, scene
        finally:
            stack.stop()


def _schedule(settings: "Settings") -> None:
    """Register every deployment, as `everfeed deploy` does, and let somebody ask for their runs."""
    from flows.deploying import PoolKind, Target, deploy
    from tests.flows.homes import api

    target = Target("machines", PoolKind.PROCESS, "", f"{settings.prefect_url}/api")
    asyncio.run(deploy(settings, target, has_automations=False, is_dry=False))
    found = [one["id"] for one in api(settings, "deployments/filter", {})]
    api(settings, "deployments/get_scheduled_flow_runs", {"deployment_ids": found})


@pytest.fixture
def desktop(browser: "Browser", site: Site, pictures: Path) -> Iterator[Screen]:
    with window(browser, site.settings.console_url, pictures) as screen:
        yield screen


@pytest.fixture
def phone(browser: "Browser", site: Site, pictures: Path) -> Iterator[Screen]:
    with window(browser, site.settings.console_url, pictures, is_phone=True) as screen:
        yield screen


@pytest.fixture
def gateway(site: Site) -> Iterator[httpx.Client]:
    """A client of the gateway, as a product's backend is one."""
    with httpx.Client(
        base_url=site.settings.gateway_url,
        headers={"Authorization": f"Bearer {site.settings.token()}"},
        trust_env=False,
        timeout=30.0,
    ) as client:
        yield client
