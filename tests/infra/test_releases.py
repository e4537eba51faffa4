"""Marks of released rows: the first one stays, and each release is one line of the audit."""

from datetime import timedelta

from infra.database import Database
from infra.releases import ReleaseStore
from tests.infra.conftest import NOW


def test_a_row_keeps_its_first_mark_when_it_is_released_twice(database: Database) -> None:
    store = ReleaseStore(database)
    first = {"release_id": "r1", "corrected": "", "by": "ann", "why": "right after all", "at": NOW}
    assert store.record({"a": "stored", "b": "quarantined again"}, **first) == 2
    later = {**first, "release_id": "r2", "by": "bob", "at": NOW + timedelta(hours=1)}
    assert store.record({"b": "stored", "c": "stored"}, **later) == 1
    assert store.released() == {"a": "stored", "b": "quarantined again", "c": "stored"}
    assert [(line.release_id, line.outcome, line.rows, line.by) for line in store.audit()] == [
        ("r2", "stored", 1, "bob"),
        ("r1", "quarantined again", 1, "ann"),
        ("r1", "stored", 1, "ann"),
    ]


def test_nothing_is_recorded_when_no_row_was_released(database: Database) -> None:
    store = ReleaseStore(database)
    assert store.record({}, release_id="r", corrected="", by="ann", why="", at=NOW) == 0
    assert store.audit() == []
