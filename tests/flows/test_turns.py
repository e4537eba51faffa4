"""One training of a model at a time, on a real Prefect server: in turn, after a kill, after the server's restart."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.services import stack_services
from flows.turns import ensure_turn, turn_of
from infra.settings import Settings
from infra.supervisor import running
from tests.flows.homes import ROOT, environment, free_port, python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", prefect_port=free_port())


@contextmanager
def _server(settings: Settings) -> Iterator[None]:
    prefect, *_ = stack_services(settings)
    with running(settings, (prefect,)), temporary_settings({PREFECT_API_URL: f"{settings.prefect_url}/api"}):
        yield


async def _limit(settings: Settings, number: int | None = None) -> int:
    """Make the limit, give it another number if one is named, and return it."""
    async with get_client() as client:
        await ensure_turn(client, settings)
        if number is not None:
            await client.update_global_concurrency_limit(turn_of(settings), GlobalConcurrencyLimitUpdate(limit=number))
        return (await client.read_global_concurrency_limit_by_name(turn_of(settings))).limit


def _holder(settings: Settings, file: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = python("-m", "tests.flows.turning", str(file), str(seconds))
    return subprocess.Popen(command, env=environment(settings), cwd=ROOT, stderr=subprocess.DEVNULL)


def _moments(file: Path) -> list[float]:
    return [float(line.split()[1]) for line in file.read_text().splitlines()] if file.exists() else []


def _wait_for_beginning(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not _moments(file):
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.1)


def test_two_train_one_after_the_other_and_what_was_killed_is_not_waited_for(
    settings: Settings, tmp_path: Path
) -> None:
    with _server(settings):
        assert asyncio.run(_limit(settings)) == 1
        first, second = tmp_path / "first", tmp_path / "second"
        held = [_holder(settings, first, 4.0), _holder(settings, second, 4.0)]
        assert [process.wait(180) for process in held] == [0, 0]
        (_, ended), (began, _) = sorted((_moments(first), _moments(second)))
        assert ended <= began

        killed, third = _holder(settings, tmp_path / "killed", 300.0), tmp_path / "third"
        _wait_for_beginning(tmp_path / "killed")
        killed.kill()
        killed.wait()
        assert _holder(settings, third, 0.0).wait(200) == 0

        assert asyncio.run(_limit(settings, 2)) == 2
        assert asyncio.run(_limit(settings)) == 2


def test_a_place_is_free_again_after_a_restart_of_the_server(settings: Settings, tmp_path: Path) -> None:
    with _server(settings):
        asyncio.run(_limit(settings))
        killed = _holder(settings, tmp_path / "killed", 300.0)
        _wait_for_beginning(tmp_path / "killed")
        killed.kill()
        killed.wait()
    with _server(settings):
        assert _holder(settings, tmp_path / "next", 0.0).wait(200) == 0
        assert len(_moments(tmp_path / "next")) == 2
