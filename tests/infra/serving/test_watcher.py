import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import text

from infra.rollouts import Serving
from infra.segments import SegmentStore
from infra.serving.slots import Garage, Lineup
from infra.serving.watcher import View, Watcher
from infra.takedowns import TakedownStore
from infra.tombstones import Tombstones
from recmodels.data.schema import ITEMS
from tests.infra.gateway_home import BLOCKED_ITEM, NOW, Home


class SlowGarage(Garage):
    """Loads models when it is let."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_let = threading.Event()
        self.is_let.set()

    def line_up(self, serving: Serving, *, previous: Lineup) -> Lineup:
        assert self.is_let.wait(timeout=10)
        return super().line_up(serving, previous=previous)


@contextmanager
def watching(home: Home, garage: Garage | None = None) -> Iterator[list[View]]:
    """Run a watcher; what it publishes is added to the list."""
    views: list[View] = []
    watcher = Watcher(
        home.rollouts,
        TakedownStore(home.database),
        SegmentStore(home.database),
        Tombstones(home.database),
        garage=garage or Garage(home.bundles),
        publish=views.append,
        poll_seconds=0.02,
    )
    watcher.start()
    try:
        yield views
    finally:
        watcher.stop()


def wait_for(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def add(home: Home, *rows: dict[str, str]) -> int:
    table = pa.Table.from_pylist([{"safety": "ok", **row} for row in rows], schema=ITEMS)
    return SegmentStore(home.database).append(table, by="a test", now=NOW)


def block(home: Home, item_id: str) -> None:
    TakedownStore(home.database).block([item_id], reason="rights", by="a test", now=NOW)


def test_what_is_blocked_is_known_before_the_first_model_serves(home: Home) -> None:
    home.crown()
    block(home, "film-07")
    add(home, {"item_id": "film-08", "safety": "blocked"}, {"item_id": "new-1"})

    with watching(home) as views:
        with_models = [view for view in views if view.lineup.champion is not None]

        assert all(view.blocked == {"film-07", "film-08"} for view in with_models)
        final = views[-1]
        assert final.has_polled
        assert final.is_store_reachable
        assert final.segment_version == 1
        champion = final.lineup.champion
        assert champion is not None
        newcomers = final.standing(champion.reference.digest).newcomers
        assert newcomers is not None
        assert newcomers.item_ids.tolist() == ["new-1"]


def test_a_takedown_does_not_wait_for_a_model_that_is_being_loaded(home: Home) -> None:
    home.crown()
    garage = SlowGarage(home.bundles)
    with watching(home, garage) as views:
        garage.is_let.clear()
        home.challenge()
        time.sleep(0.1)
        block(home, "film-07")

        wait_for(lambda: "film-07" in views[-1].blocked, seconds=1.0)
        assert views[-1].lineup.challenger is None
        garage.is_let.set()
        wait_for(lambda: views[-1].lineup.challenger is not None)
        assert "film-07" in views[-1].blocked


def test_a_view_is_published_when_something_changed_only(home: Home) -> None:
    home.crown()
    add(home, {"item_id": "new-1"})
    with watching(home) as views:
        settled = len(views)
        time.sleep(0.3)

        assert len(views) == settled
        champion = views[-1].lineup.champion
        assert champion is not None
        standing = views[-1].standing(champion.reference.digest)
        block(home, "film-07")
        wait_for(lambda: "film-07" in views[-1].blocked and bool(views[-1].standings))
        newer = views[-1].standing(champion.reference.digest)
        assert newer.newcomers is standing.newcomers  # a takedown costs no new join
        assert newer.blocked == {"film-07"}


def test_the_champions_labels_hold_for_others_until_a_newer_label_lifts_them(home: Home) -> None:
    home.crown()
    with watching(home) as views:
        assert views[-1].mislabelled == {BLOCKED_ITEM}

        add(home, {"item_id": BLOCKED_ITEM})

        wait_for(lambda: views[-1].mislabelled == frozenset())


def test_the_last_known_state_stays_while_the_stores_cannot_be_read(home: Home) -> None:
    home.crown()
    block(home, "film-07")
    with watching(home) as views:
        for change in ("serving RENAME TO serving_", "takedown_versions RENAME TO takedown_versions_"):
            with home.database.begin() as connection:
                connection.execute(text(f"ALTER TABLE {change}"))

        wait_for(lambda: not views[-1].is_store_reachable)
        assert views[-1].lineup.champion is not None
        assert "film-07" in views[-1].blocked
        for change in ("serving_ RENAME TO serving", "takedown_versions_ RENAME TO takedown_versions"):
            with home.database.begin() as connection:
                connection.execute(text(f"ALTER TABLE {change}"))
        wait_for(lambda: views[-1].is_store_reachable)


@pytest.mark.parametrize("table", ["takedown_versions", "item_segments"])
def test_nothing_is_served_before_it_is_known_what_may_not_be(home: Home, table: str) -> None:
    home.crown()
    with home.database.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO elsewhere"))

    with watching(home) as views:
        assert not any(view.has_polled for view in views)
        with home.database.begin() as connection:
            connection.execute(text(f"ALTER TABLE elsewhere RENAME TO {table}"))
        wait_for(lambda: bool(views) and views[-1].has_polled)
        assert views[-1].lineup.champion is not None
