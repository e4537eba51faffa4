"""A home of an earlier Everfeed, brought to this one's schema with a copy of it first."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from infra.backups import restore
from infra.database import Database, _engine, known_versions, open_database, peek_version
from infra.processes import hold_lock
from infra.settings import Settings
from tests.flows.commands import Terminal
from tests.infra.test_migrations import fill, migrate

OLDEST, *_, NEWEST = known_versions()
NAMES = [pytest.param(name, marks=[] if name == OLDEST else [pytest.mark.slow]) for name in known_versions()[:-1]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return Settings()


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def make_at(settings: Settings, version: str) -> dict[str, int]:
    """Make the tables of a released schema with two rows in each, and return how many rows each has."""
    database = Database(_engine(make_url(settings.database), is_synced=True))
    with database.begin() as connection:
        migrate(connection, version)
        rows = {name: len(found) for name, found in fill(connection).items()}
    database.close()
    return rows


def rows_of(settings: Settings, names: dict[str, int]) -> dict[str, int]:
    database = open_database(settings.database)
    with database.read() as connection:
        counts = {name: connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar() for name in names}
    database.close()
    return {name: int(count or 0) for name, count in counts.items()}


@pytest.mark.parametrize("version", NAMES)
def test_every_row_is_there_and_a_backup_goes_back_when_an_older_home_is_upgraded(
    settings: Settings, everfeed: Terminal, version: str, tmp_path: Path
) -> None:
    rows = make_at(settings, version)
    told = everfeed("upgrade", "--dry-run", "--json").document
    assert (told["from"], told["to"], peek_version(settings.database)) == (version, NEWEST, version)
    done = everfeed("upgrade", "--yes", "--json", "--backup", str(tmp_path / "kept")).document
    assert done == {"from": version, "to": NEWEST, "backup": str(tmp_path / "kept")}
    assert peek_version(settings.database) == NEWEST
    assert rows_of(settings, rows) == rows
    assert everfeed("upgrade", "--json").document == {"from": NEWEST, "to": NEWEST, "backup": None}

    other = Settings(home=tmp_path / "other")
    back = restore(other, tmp_path / "kept", at="", is_forced=False, now=datetime.now(UTC), on_bytes=lambda *_: None)
    assert back.manifest.schema == version
    assert rows_of(other, rows) == rows


def test_no_backup_is_made_when_none_is_wanted(settings: Settings, everfeed: Terminal) -> None:
    make_at(settings, OLDEST)
    assert everfeed("upgrade", "--yes", "--no-backup", "--json").document["backup"] is None
    assert [path.name for path in settings.root.parent.iterdir()] == ["home"]


def test_an_upgrade_is_refused_with_what_to_do_when_the_schema_is_newer(settings: Settings, everfeed: Terminal) -> None:
    make_at(settings, OLDEST)
    database = Database(_engine(make_url(settings.database), is_synced=True))
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    ended = everfeed("upgrade", "--yes")
    assert ended.code == 2
    for words in ("'9999'", NEWEST, "newer Everfeed", "install that one"):
        assert words in ended.last_line


def test_an_upgrade_is_refused_when_a_stack_is_up(settings: Settings, everfeed: Terminal) -> None:
    make_at(settings, OLDEST)
    with hold_lock(settings):
        ended = everfeed("upgrade", "--yes")
    assert (ended.code, "everfeed down" in ended.last_line) == (2, True)
    assert peek_version(settings.database) == OLDEST


def test_nothing_is_made_when_a_home_has_no_tables(settings: Settings, everfeed: Terminal) -> None:
    assert everfeed("upgrade", "--json").document == {"from": None, "to": NEWEST, "backup": None}
    assert list(settings.root.iterdir()) == []
