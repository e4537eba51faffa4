"""Items that may not be shown."""

from datetime import datetime

from infra.database import Database
from infra.takedowns import BlockedItems, TakedownStore


def test_nothing_is_blocked_when_the_store_is_new(database: Database) -> None:
    store = TakedownStore(database)
    assert store.version() == 0
    assert store.blocked() == BlockedItems(0, frozenset())


def test_version_grows_with_every_change(database: Database, now: datetime) -> None:
    store = TakedownStore(database)
    assert store.block(["a", "b", "a"], reason="rights", by="anna", now=now) == 1
    assert store.block(["b", "c"], reason="other", by="bert", now=now) == 2
    assert store.lift(["a", "never blocked"]) == 3
    assert store.version() == 3
    assert TakedownStore(database).blocked() == BlockedItems(3, frozenset({"b", "c"}))
    assert {(one.item_id, one.reason, one.by) for one in store.takedowns()} == {
        ("b", "rights", "anna"),
        ("c", "other", "bert"),
    }


def test_nothing_breaks_when_no_item_is_given(database: Database, now: datetime) -> None:
    store = TakedownStore(database)
    store.block([], reason="", by="anna", now=now)
    store.lift([])
    assert store.blocked().item_ids == frozenset()
