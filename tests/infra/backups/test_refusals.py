"""What a backup and a restore refuse, each with what to do; and that a refusal leaves everything as it was."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.backups import back_up, check, read_manifest, restore
from infra.backups import objects as kept
from infra.database import known_versions, open_database
from infra.locks import exclusive
from infra.processes import hold_lock
from infra.settings import Settings
from recmodels.errors import AlreadyRunningError, StoreError
from tests.infra.backups.filled import LATER, NOW, contents, elsewhere


def run_sql(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_interrupted_backup_has_no_manifest_and_is_refused_and_goes_on(small: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backups"

    def die(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(small, folder, now=NOW, on_bytes=die)
    with pytest.raises(StoreError, match=r"interrupted.*goes on"):
        restore(elsewhere(small), folder, now=LATER)
    assert list(elsewhere(small).root.parent.glob("*")) == []
    back_up(small, folder, now=NOW)
    assert [path for path in folder.rglob(".*") if path.name != ".lock"] == []
    restore(elsewhere(small), folder, now=LATER)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), "was altered"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_damaged_file_is_found_before_anything_is_written(
    small: Settings, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    folder = tmp_path / "backups"
    back_up(small, folder, now=NOW)
    damage(max((folder / "objects").rglob("?" * 64), key=lambda path: path.stat().st_size))
    with pytest.raises(StoreError, match=f"damaged, and nothing was restored.*{words}"):
        restore(elsewhere(small), folder, now=LATER)
    assert not elsewhere(small).root.exists()
    with pytest.raises(StoreError, match=words):
        check(folder)


def test_altered_manifest_is_refused(small: Settings, tmp_path: Path) -> None:
    made = back_up(small, tmp_path / "backups", now=NOW)
    path = tmp_path / "backups" / "manifests" / f"{made.manifest.name}.json"
    path.write_text(path.read_text().replace("everfeed.db", "everfeet.db"))
    with pytest.raises(StoreError, match="altered after it was written"):
        read_manifest(tmp_path / "backups")
    path.write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        read_manifest(tmp_path / "backups")


def test_a_folder_without_backups_or_with_another_name_is_refused(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no folder"):
        check(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no backup"):
        check(tmp_path / "empty")
    made = back_up(small, tmp_path / "backups", now=NOW)
    with pytest.raises(StoreError, match=f"0 backups of the name '2025'.*{made.manifest.name}"):
        check(tmp_path / "backups", at="2025")


def test_restore_refuses_a_home_that_is_not_empty_and_moves_it_aside_when_told(small: Settings, tmp_path: Path) -> None:
    back_up(small, tmp_path / "backups", now=NOW)
    (small.root / "note.txt").write_text("later")
    before = contents(small.root)
    with pytest.raises(StoreError, match=r"not empty.*--force"):
        restore(small, tmp_path / "backups", now=LATER)
    assert contents(small.root) == before
    restored = restore(small, tmp_path / "backups", now=LATER, is_forced=True)
    assert restored.aside is not None
    assert contents(restored.aside) == before
    assert not (small.root / "note.txt").exists()


def test_restore_refuses_a_home_in_use_even_when_forced(small: Settings, tmp_path: Path) -> None:
    back_up(small, tmp_path / "backups", now=NOW)
    with hold_lock(small), pytest.raises(AlreadyRunningError, match="everfeed down"):
        restore(small, tmp_path / "backups", now=LATER, is_forced=True)


def test_newer_schema_is_refused_and_an_older_one_is_brought_forward(small: Settings, tmp_path: Path) -> None:
    run_sql(small.root / "everfeed.db", "UPDATE alembic_version SET version_num = '9999'")
    back_up(small, tmp_path / "newer", now=NOW)
    with pytest.raises(StoreError, match=rf"'9999'.*up to '{known_versions()[-1]}'"):
        restore(elsewhere(small), tmp_path / "newer", now=LATER)
    run_sql(
        small.root / "everfeed.db",
        "UPDATE alembic_version SET version_num = '0004'",
        "DROP TABLE retrains",
        "DROP TABLE erasures",
        "DROP TABLE access_tokens",
        "DROP TABLE audit_log",
        "DROP TABLE held_accounts",
        "DROP INDEX ix_requests_rollout",
        "DROP INDEX ix_outcomes_rollout",
        "CREATE INDEX ix_requests_rollout ON requests (rollout_id)",
        "CREATE INDEX ix_outcomes_rollout ON outcomes (rollout_id)",
    )
    back_up(small, tmp_path / "older", now=NOW)
    assert restore(elsewhere(small), tmp_path / "older", now=LATER).migrated_from == "0004"
    database = open_database(elsewhere(small).database)
    assert database.schema_version() == known_versions()[-1]
    database.close()


def test_secrets_are_for_their_owner_only_or_left_out(small: Settings, tmp_path: Path) -> None:
    (small.root / "channels.json").write_text('{"ops": {"name": "webhook", "options": {"url": "https://a/token"}}}')
    whole = back_up(small, tmp_path / "whole", now=NOW)
    bare = back_up(small, tmp_path / "bare", with_secrets=False, now=NOW)
    names = [{file.path for file in one.manifest.files} for one in (whole, bare)]
    assert names[0] - names[1] == {"secrets/write_token", "channels.json"}
    assert bare.manifest.left_out.keys() == {"secrets", "channels.json"}
    assert small.token().encode() not in b"".join(contents(tmp_path / "bare").values())
    assert (tmp_path / "whole").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "whole" / "objects").rglob("?" * 64))


def test_space_is_asked_for_before_anything_is_written(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(small, tmp_path / "backups", now=NOW)
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(StoreError, match=r"the backup needs 0\.\d MB at .* where 0\.0 MB are free"):
        back_up(small, tmp_path / "full", now=NOW)
    assert not (tmp_path / "full" / "objects").exists()
    with pytest.raises(StoreError, match=r"the home of backup .* needs"):
        restore(elsewhere(small), tmp_path / "backups", now=LATER)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database_url": "postgresql+psycopg://me:secret@db/everfeed"}, "EVERFEED_DATABASE_URL.*pg_dump"),
        ({"mlflow_url": "http://mlflow:5000"}, "EVERFEED_MLFLOW_URL.*where it runs"),
        ({"search_url": "sqlite:////elsewhere/searches.db"}, "EVERFEED_SEARCH_URL"),
        ({"lake_path": "s3://bucket/lake"}, "EVERFEED_LAKE_PATH.*s3://bucket/lake.*aws s3 sync"),
        ({"lake_url": "s3://bucket/lake"}, "EVERFEED_LAKE_URL.*s3://bucket/lake.*aws s3 sync"),
        ({"artifacts_url": "s3://bucket/runs"}, "EVERFEED_ARTIFACTS_URL.*s3://bucket/runs.*aws s3 sync"),
    ],
)
def test_stores_elsewhere_are_refused_with_the_tool_that_copies_them(
    small: Settings, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        back_up(small.model_copy(update=changes), tmp_path / "backups", now=NOW)
    assert "secret" not in str(caught.value)


def test_a_folder_in_the_home_and_a_link_in_it_are_refused(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="lies in the home"):
        back_up(small, small.root / "backups", now=NOW)
    (small.root / "bundles").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="is a link"):
        back_up(small, tmp_path / "backups", now=NOW)


def test_two_backups_into_one_folder_at_once_are_refused(small: Settings, tmp_path: Path) -> None:
    with exclusive(tmp_path / "backups" / ".lock"), pytest.raises(AlreadyRunningError, match="another backup"):
        back_up(small, tmp_path / "backups", now=NOW)


def test_manifest_that_would_write_outside_the_home_is_refused(small: Settings, tmp_path: Path) -> None:
    made = back_up(small, tmp_path / "backups", now=NOW)
    path = tmp_path / "backups" / "manifests" / f"{made.manifest.name}.json"
    raw = json.dumps(json.loads(path.read_text())["manifest"]).replace('"everfeed.db"', '"../everfeed.db"')
    path.write_text(f'{{"sha256": "{hashlib.sha256(raw.encode()).hexdigest()}", "manifest": {raw}}}')
    with pytest.raises(StoreError, match="none of a home"):
        restore(elsewhere(small), tmp_path / "backups", now=LATER)


def test_tombstones_of_people_erased_since_the_backup_are_carried_over(small: Settings, tmp_path: Path) -> None:
    first, second = (
        f"INSERT INTO erasures (tombstone, asked_at, receipt) VALUES ('{name}', 1, '{{}}')" for name in "ab"
    )
    run_sql(small.root / "everfeed.db", first)
    back_up(small, tmp_path / "backups", now=NOW)
    run_sql(small.root / "everfeed.db", second)
    assert restore(small, tmp_path / "backups", now=LATER, is_forced=True).erasures == 1
    with closing(sqlite3.connect(small.root / "everfeed.db")) as connection:
        assert connection.execute("SELECT tombstone FROM erasures ORDER BY id").fetchall() == [("a",), ("b",)]


def test_backup_says_what_to_do_when_the_folder_cannot_be_made(small: Settings, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("x")
    with pytest.raises(StoreError, match="is no folder and cannot be made into one"):
        back_up(small, tmp_path / "a file", now=NOW)


def test_a_lake_that_lacks_a_file_is_not_backed_up(settings: Settings, tmp_path: Path) -> None:
    shutil.rmtree(next((settings.root / "lake" / "interactions").glob("month=*")))
    with pytest.raises(StoreError, match="lacks 1 of its files"):
        back_up(settings, tmp_path / "backups", now=NOW)
