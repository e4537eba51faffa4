"""Opening, migrating and locking the relational store."""

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import infra.access
import infra.erasures
import infra.events
import infra.held_accounts
import infra.histories
import infra.outbox
import infra.releases
import infra.retrains
import infra.rollouts
import infra.segments
import infra.shadows
import infra.takedowns  # noqa: F401 - each store defines its tables when it is imported
from infra.audit_log import AuditLog
from infra.columns import from_microseconds, metadata, to_microseconds
from infra.database import Database, known_versions, open_database
from recmodels.errors import StoreError
from tests.stopwatch import least_seconds


def test_migrations_give_the_tables_of_the_stores(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_head_is_the_newest_file_when_alembic_is_asked() -> None:
    config = Config()
    config.set_main_option("script_location", "infra:migrations")
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == known_versions()[-1]
    assert {revision.revision for revision in script.walk_revisions()} == set(known_versions())


def test_open_needs_no_alembic_when_the_schema_is_the_newest(sqlite_url: str) -> None:
    code = f"from infra.database import open_database; open_database({sqlite_url!r})"
    code = f"import sys; {code}; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_open_is_fast_when_the_schema_is_the_newest(sqlite_url: str) -> None:
    assert least_seconds(lambda: open_database(sqlite_url).close(), below=0.03) < 0.03


def test_open_migrates_once_when_several_open_a_new_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'everfeed.db'}"
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_database, [url] * 4))
    assert {database.schema_version() for database in opened} == {known_versions()[-1]}
    with opened[0].read() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_open_is_refused_when_a_newer_version_wrote_the_store(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=rf"'9999'.*up to '{known_versions()[-1]}'.*newer Everfeed"):
        open_database(sqlite_url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot be used"),
        ("mysql+nothing://me:secret@host/x", "cannot be used"),
        ("mysql+nothing://me:a@secret@host/x", "cannot be used"),
        ("sqlite://", "keeps nothing"),
        ("postgresql://me:secret@127.0.0.1:1/x", "Check EVERFEED_DATABASE_URL"),
    ],
)
def test_open_says_what_to_do_when_the_url_cannot_be_used(url: str, words: str) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("pg8000", reason="PostgreSQL's driver pg8000 is not installed")
    with pytest.raises(StoreError, match=words) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)


def test_open_says_what_to_do_when_the_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "everfeed.db"
    path.write_bytes(b"this is not a database, and long enough to be taken for one" * 20)
    with pytest.raises(StoreError, match=r"damaged.*Restore"):
        open_database(f"sqlite:///{path}")


def test_file_is_for_its_owner_only_when_it_is_made(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path / 'everfeed.db'}").close()
    assert (tmp_path / "everfeed.db").stat().st_mode & 0o077 == 0


def test_sqlite_syncs_every_commit_and_checks_keys(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    with database.read() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in _PRAGMAS}
    assert found == _PRAGMAS
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text(_ORPHAN_VERDICT))


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
_ORPHAN_VERDICT = (
    "INSERT INTO verdicts (rollout_id, step, at, action, rule, words, users_canary, users_control, e_values)"
    " VALUES ('none', 0, 0, '', '', '', 0, 0, '{}')"
)


def test_writers_wait_for_each_other_when_they_read_before_they_write(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("INSERT INTO takedown_versions VALUES (1, 0)"))

    def count(_: int) -> None:
        with database.begin(lock="counter") as connection:
            n = connection.execute(text("SELECT version FROM takedown_versions")).scalar_one()
            connection.execute(text("UPDATE takedown_versions SET version = :n"), {"n": n + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(40)))
    with database.read() as connection:
        assert connection.execute(text("SELECT version FROM takedown_versions")).scalar() == 40


def test_a_reader_sees_one_state_when_a_writer_commits_meanwhile(database: Database) -> None:
    count = text("SELECT count(*) FROM takedown_versions")
    with database.read() as connection:
        assert connection.execute(count).scalar() == 0
        with database.begin() as other:
            other.execute(text("INSERT INTO takedown_versions VALUES (1, 7)"))
        assert connection.execute(count).scalar() == 0
    with database.read() as connection:
        assert connection.execute(count).scalar() == 1


def test_readers_go_on_when_a_writer_holds_the_lock(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    is_open, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with database.begin() as connection:
            connection.execute(text("INSERT INTO takedown_versions VALUES (1, 7)"))
            is_open.set()
            may_end.wait(10)

    writer = threading.Thread(target=write)
    writer.start()
    is_open.wait(10)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM takedown_versions")).scalar() == 0
    may_end.set()
    writer.join()


def test_nothing_is_kept_when_a_transaction_fails(database: Database) -> None:
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text("INSERT INTO takedown_versions VALUES (1, 7), (1, 8)"))
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM takedown_versions")).scalar() == 0


def test_lock_that_never_ends_is_explained(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.sqlite.BUSY_SECONDS", 0.05)
    blocker = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    database = open_database(sqlite_url)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"stayed locked.*Find the process"), database.begin():
        pass
    blocker.close()


def test_moments_keep_microseconds_in_any_time_zone() -> None:
    moment = datetime(2026, 3, 1, 14, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert to_microseconds(moment) == 1_772_366_400_000_001
    assert from_microseconds(1_772_366_400_000_001) == datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)


def test_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_microseconds(datetime(2026, 3, 1))


def test_a_writer_has_its_turn_soon_after_the_one_before_it_however_long_it_waited(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'everfeed.db'}")
    entered: list[float] = []

    def write() -> None:
        with database.begin():
            entered.append(time.monotonic())

    waits = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(9):
            with database.begin():
                other = pool.submit(write)
                time.sleep(0.15)  # by now SQLite itself would ask every 100 ms
            released = time.monotonic()
            other.result()
            waits.append(entered[-1] - released)
    database.close()
    assert sorted(waits)[len(waits) // 2] < 0.03


def test_what_was_deleted_is_gone_from_the_files_and_the_rest_is_there(database: Database, now: datetime) -> None:
    log = AuditLog(database)
    log.append(actor="cli:ana", action="gc", subject="", outcome="done", words="", now=now)
    assert database.scrub()
    assert [one.actor for one in log.recent()] == ["cli:ana"]
