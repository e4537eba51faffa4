"""A disk that fills up under a running stack: a tmpfs of 48 MB, filled to the last byte, then freed."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from flows.services import stack_services
from infra.database import open_database
from infra.lake import Lake
from infra.outbox import Outbox
from infra.processes import read_record
from infra.settings import Settings
from infra.supervisor import running
from infra.tracking import Tracker
from recmodels.bundle import load_bundle
from recmodels.data.schema import ITEMS
from recmodels.errors import BundleError, StoreError
from tests.drills.requests import ask, click, until
from tests.flows.commands import choose_free_ports
from tests.infra.gateway_home import Home, constant_scorer, items_table, write

_SIZE = 48 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, or skip where this user may mount none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder))
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mount is not installed")
    if ended.returncode:
        pytest.skip(f"no file system can be mounted here: {ended.stderr.strip()}")
    yield folder
    subprocess.run(("umount", "-l", str(folder)), check=True)


@pytest.fixture
def settings(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(disk / "home"))
    choose_free_ports(monkeypatch)
    (disk / "home").mkdir()
    return Settings()


class Filler:
    """A file that takes what is left of a disk."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._path = disk / "filler"

    def take(self, *, leaving: int) -> None:
        """Leave so many bytes; 0 fills the last block, whatever a writer frees meanwhile."""
        free = os.statvfs(self._disk).f_bavail * os.statvfs(self._disk).f_frsize
        with self._path.open("ab", buffering=0) as file:
            file.write(bytes(max(0, free - leaving)))
            with suppress(OSError):
                while not leaving:
                    file.write(bytes(4096))

    def free(self) -> None:
        self._path.unlink()


def disk_incidents(settings: Settings) -> list[str]:
    database = open_database(settings.database)
    try:
        found = Outbox(database).incidents(resolved_after=datetime(2020, 1, 1, tzinfo=UTC))
    finally:
        database.close()
    return [one.state for one in found if one.family == "disk"]


def assert_whole(settings: Settings, digest: str, version: int | None) -> None:
    """Every store is as it was before, and can be read."""
    for name in ("everfeed.db", "mlflow.db"):
        with sqlite3.connect(settings.root / name) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    assert Lake(settings.lake).version("items") == version
    assert Lake(settings.lake).read("items").num_rows == 30
    assert load_bundle(settings.bundles, digest).digest == digest


@pytest.mark.slow
def test_a_full_disk_corrupts_nothing_and_everything_goes_on_when_space_returns(
    disk: Path, settings: Settings, mlflow_template: Path
) -> None:
    (settings.root / "mlflow.db").write_bytes(mlflow_template.read_bytes())
    database = open_database(settings.database)
    champion = Home(settings.root, database).crown()
    database.close()
    lake, tracker = Lake(settings.lake), Tracker(settings.mlflow, artifacts=settings.artifacts)
    lake.replace("items", items_table())
    version = lake.version("items")
    run = tracker.lifecycle_run("a", name="a run", tags={})
    wanted = [one for one in stack_services(settings) if one.name in {"gateway", "sender"}]
    filler = Filler(disk)
    with running(settings, tuple(wanted)) as stack, httpx.Client(base_url=settings.gateway_url, timeout=20) as client:
        before = ask(client, "before").json()
        assert click(client, before, event="before").status_code == 200

        filler.take(leaving=2_000_000)
        until(lambda: disk_incidents(settings) == ["open"], stack)
        alerts = settings.reports / "alerts.jsonl"
        until(lambda: alerts.exists() and "disk is nearly full" in alerts.read_text(), stack)

        filler.take(leaving=0)
        answers = [ask(client, f"user-{number}") for number in range(40)]
        filler.take(leaving=0)
        assert {answer.status_code for answer in answers} == {200}
        assert all(len(answer.json()["items"]) == 3 for answer in answers)
        refused = until(lambda: (r := click(client, before, event="full")).status_code == 503 and r, stack)
        assert refused.headers["retry-after"] == "1"
        assert "full" in refused.json()["error"]["what"]
        assert {ask(client, "again").status_code for _ in range(10)} == {200}

        with pytest.raises(StoreError, match="the disk is full"):
            lake.replace("items", pa.concat_tables([items_table()] * 2000).cast(ITEMS))
        with pytest.raises(StoreError, match="the disk is full"):
            tracker.set_tags(run, {f"tag {number}": "x" * 8000 for number in range(100)})
        with pytest.raises(BundleError, match="the disk is full"):
            write(settings.bundles, constant_scorer(3.0), name="another")
        assert [path.name for path in settings.bundles.iterdir() if not path.name.startswith(".")] == [champion.digest]

        filler.free()
        kept = until(lambda: (r := click(client, before, event="full")).status_code == 200 and r, stack)
        assert (kept.json()["accepted"], kept.json()["duplicates"]) == (1, 0)
        for number, answer in enumerate(answers):
            assert click(client, answer.json(), event=f"late-{number}").json()["accepted"] == 1
        until(lambda: disk_incidents(settings) == ["resolved"], stack)
        assert_whole(settings, champion.digest, version)
        lake.replace("items", items_table(("film-00",)))
        write(settings.bundles, constant_scorer(3.0), name="another")
        tracker.log_metrics(run, {"loss": 1.0})


@pytest.mark.slow
def test_the_supervisor_restarts_a_gateway_that_answers_when_the_disk_is_full(disk: Path, settings: Settings) -> None:
    database = open_database(settings.database)
    Home(settings.root, database).crown()
    database.close()
    (gateway,) = [one for one in stack_services(settings) if one.name == "gateway"]
    filler = Filler(disk)
    with running(settings, (gateway,)) as stack, httpx.Client(base_url=settings.gateway_url, timeout=20) as client:
        assert ask(client, "before").status_code == 200
        filler.take(leaving=0)
        os.kill(read_record(settings).services[0].pid, signal.SIGKILL)

        def answers() -> bool:
            with suppress(httpx.HTTPError):
                return ask(client, "after").status_code == 200
            return False

        time.sleep(0.5)
        until(answers, stack)
        filler.free()
        assert until(answers, stack)
