"""`everfeed backup`, `restore` and `gc` as a person calls them, over a home with every store."""

import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from flows.doctor import examine
from infra.database import open_database
from infra.settings import Settings
from tests.flows.commands import Terminal, choose_free_ports
from tests.infra.backups.filled import fill


@pytest.fixture(scope="module")
def filled(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with every store; tests that change it work on a copy."""
    settings = Settings(home=tmp_path_factory.mktemp("filled") / "home")
    settings.root.mkdir()
    shutil.copy(mlflow_template, settings.root / "mlflow.db")
    open_database(settings.database).close()
    fill(settings)
    return settings


@pytest.fixture
def everfeed(filled: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(filled.root))
    choose_free_ports(monkeypatch)
    return Terminal(capsys, monkeypatch)


def test_restored_home_is_green_to_the_doctor(
    everfeed: Terminal, filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = everfeed("backup", str(tmp_path / "backups"), "--json")
    assert made.code == 0, made.err
    assert made.document["tables"] == {"interactions": 1}
    assert made.document["has_secrets"]
    checked = everfeed("restore", str(tmp_path / "backups"), "--check", "--json")
    assert checked.document["backup"] == made.document["backup"]
    assert checked.document["home"] is None
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "restored"))
    ended = everfeed("restore", str(tmp_path / "backups"))
    assert ended.code == 0, ended.err
    assert "paths of the old home were rewritten: " in ended.err
    assert "run `everfeed forget` for each again" in ended.err
    found = {finding.subject: finding for finding in examine(Settings())}
    stores = ("home", "database", "lake", "rollouts", "model registry")
    assert [found[name] for name in stores if not found[name].is_ok] == []
    assert found["rollouts"].seen == "version 1 serves"
    assert found["model registry"].seen == "alias champion at version 1"
    again = everfeed("restore", str(tmp_path / "backups"))
    assert again.code == 2
    assert "not empty" in again.err


def test_backup_says_what_it_left_out(everfeed: Terminal, tmp_path: Path) -> None:
    ended = everfeed("backup", str(tmp_path / "backups"), "--without-secrets")
    assert ended.code == 0
    assert "the secrets are not in it" in ended.err
    assert "left out logs: " in ended.err


def test_gc_lists_asks_and_removes(everfeed: Terminal, filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = filled.root / "recipes.partial"
    leftover.write_text("half")
    os.utime(leftover, (0, 0))
    listed = everfeed("gc", "--dry-run")
    assert listed.code == 0, listed.err
    assert "goes " in listed.err
    assert "leftover recipes.partial: left by a process that was killed" in listed.err
    assert "is the champion" in listed.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    asked = everfeed("gc")
    assert asked.code == 1
    assert leftover.exists()
    done = everfeed("gc", "--yes", "--json")
    assert done.document["removed"] == 1
    assert [one["path"] for one in done.document["findings"] if one["goes"]] == ["recipes.partial"]
    assert not leftover.exists()
    assert everfeed("gc", "--yes", "--json").document["removed"] == 0
