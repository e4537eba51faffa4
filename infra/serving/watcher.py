"""Polls what changes from outside and hands a new view to the gateway: who serves, what is blocked, what is new.

Two threads, so that a takedown never waits for a model that is being loaded.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.rollouts import RolloutStore
from infra.segments import SegmentItems, SegmentStore
from infra.serving.batching import Standing
from infra.serving.slots import Garage, Lineup, LoadedModel
from infra.takedowns import TakedownStore
from infra.tombstones import Tombstones
from recmodels.data.schema import ITEM_ID, ITEMS, SAFETY
from recmodels.retrieval.newcomers import Newcomers, attach

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""How often the stores are read; a rollback holds within it plus one read."""

RELOAD_SECONDS = 10.0
"""How long a model that could not be loaded is left alone before it is tried again."""

_NO_ITEMS = SegmentItems(0, pa.Table.from_batches([], schema=ITEMS), frozenset())


@dataclass(frozen=True)
class View:
    """All that a request needs to know of the world; replaced as a whole.

    Attributes:
        lineup: Who serves.
        blocked: Items that nobody may see: taken down, or labelled ``blocked`` since the bundles were built.
        mislabelled: Items that the champion's catalogue blocks and no newer label allows, whatever another model's
            catalogue says of them.
        standings: By digest, what holds for the requests to a loaded model.
        segment_version: Version of the segment of new items; 0 before the first one.
        erased: Tombstones of users of whom nothing is kept.
        is_store_reachable: The last polls succeeded; when they did not, the last known state goes on serving.
        has_polled: The stores were read at least once.
    """

    lineup: Lineup = field(default_factory=Lineup)
    blocked: frozenset[str] = frozenset()
    mislabelled: frozenset[str] = frozenset()
    standings: Mapping[str, Standing] = field(default_factory=dict)
    segment_version: int = 0
    erased: frozenset[str] = frozenset()
    is_store_reachable: bool = False
    has_polled: bool = False

    def standing(self, digest: str) -> Standing:
        """Return what holds for requests to a model; before its newcomers are known, what is blocked."""
        return self.standings.get(digest) or Standing(self.blocked)


class Watcher:
    """Two threads that keep a `View` current: one loads models, the other follows items.

    Args:
        rollouts: Tells who serves.
        takedowns: Tells what is taken down.
        segments: Tells what is new, and what was labelled anew.
        tombstones: Tells who was erased.
        garage: Loads models.
        publish: Called in a thread of the watcher's with each new view; must be quick.
        poll_seconds: Time between two polls.
    """

    def __init__(
        self,
        rollouts: RolloutStore,
        takedowns: TakedownStore,
        segments: SegmentStore,
        tombstones: Tombstones,
        *,
        garage: Garage,
        publish: Callable[[View], None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._rollouts = rollouts
        self._takedowns = takedowns
        self._segments = segments
        self._tombstones = tombstones
        self._garage = garage
        self._publish = publish
        self._poll_seconds = poll_seconds
        self._view = View()
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._reload_at = 0.0
        self._has_items = False
        self._takedown_version = -1
        self._taken_down: frozenset[str] = frozenset()
        self._segment = _NO_ITEMS
        self._allowed = _NO_ITEMS.items
        self._newcomers: dict[str, Newcomers | None] = {}
        self._mislabelled_key = ("", 0)
        self._mislabelled_items: frozenset[str] = frozenset()
        self._stopped = threading.Event()
        looks = {"models": self._look_at_models, "items": self._look_at_items}
        self._threads = [
            threading.Thread(target=self._run, args=(look,), name=f"watcher-{name}", daemon=True)
            for name, look in looks.items()
        ]

    def start(self) -> None:
        """Poll once, so that the first request meets loaded models, then go on in the background."""
        for look in (self._look_at_items, self._look_at_models, self._look_at_items):  # what is blocked, first
            self._poll(look)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._garage.release(keep=Lineup())

    def _run(self, look: Callable[[], None]) -> None:
        while not self._stopped.wait(self._poll_seconds):
            self._poll(look)

    def _poll(self, look: Callable[[], None]) -> None:
        name = look.__name__
        try:
            look()
        except Exception as error:  # noqa: BLE001 - a door: the last known state serves until the store answers again
            if name not in self._failing:
                _log.warning("stores not readable, the last known state goes on serving: %r", error)
            self._failing.add(name)
        else:
            self._failing.discard(name)
        self._change(is_store_reachable=not self._failing)

    def _change(self, **parts: Any) -> None:
        with self._lock:
            view = replace(self._view, **parts)
            if view != self._view:
                self._view = view
                self._publish(view)

    def _look_at_models(self) -> None:
        if not self._has_items:
            return  # nothing is served before it is known what may not be
        serving = self._rollouts.serving()
        lineup = self._view.lineup
        is_due = not lineup.is_complete and time.monotonic() >= self._reload_at
        if not self._view.has_polled or serving.revision != lineup.serving.revision or is_due:
            lineup = self._garage.line_up(serving, previous=lineup)
            self._reload_at = time.monotonic() + RELOAD_SECONDS
        self._change(lineup=lineup, has_polled=True)
        self._garage.release(keep=lineup)

    def _look_at_items(self) -> None:
        self._read_items()
        lineup = self._view.lineup
        models = [slot.loaded for slot in lineup.slots if slot.loaded is not None]
        self._newcomers = {model.digest: self._newcomers_of(model) for model in models}
        blocked = self._view.blocked
        champion = lineup.champion.loaded if lineup.champion else None
        self._change(
            mislabelled=self._mislabelled(champion),
            standings=_standings(self._newcomers, blocked=blocked, known=self._view.standings),
            segment_version=self._segment.version,
        )

    def _read_items(self) -> None:
        """Read what changed, and publish at once what is blocked: one store's trouble does not hold up the other."""
        self._change(erased=self._tombstones.read().tombstones)
        if self._takedowns.version() != self._takedown_version:
            listed = self._takedowns.blocked()
            self._taken_down, self._takedown_version = listed.item_ids, listed.version
            self._publish_blocked()
        if self._segments.version() != self._segment.version:
            self._segment = self._segments.items()
            self._allowed = self._segment.items.filter(pc.not_equal(self._segment.items[SAFETY], "blocked"))
            self._publish_blocked()
        self._has_items = True

    def _publish_blocked(self) -> None:
        blocked = self._taken_down | self._segment.blocked
        self._change(blocked=blocked, standings=_standings(self._newcomers, blocked=blocked, known={}))

    def _newcomers_of(self, model: LoadedModel) -> Newcomers | None:
        """Return the newcomers of a model, joined to its bundle anew where the segment has grown; None without any."""
        if not len(self._allowed):
            return None
        known = self._newcomers.get(model.digest)
        if known is not None and known.version == self._segment.version:
            return known
        return attach(model.ranker.bundle, self._allowed, version=self._segment.version)

    def _mislabelled(self, champion: LoadedModel | None) -> frozenset[str]:
        key = (champion.digest if champion else "", self._segment.version)
        if key != self._mislabelled_key:
            allowed = self._allowed[ITEM_ID].to_pylist()
            self._mislabelled_items = champion.blocked.difference(allowed) if champion else frozenset()
            self._mislabelled_key = key
        return self._mislabelled_items


def _standings(
    newcomers: Mapping[str, Newcomers | None], *, blocked: frozenset[str], known: Mapping[str, Standing]
) -> dict[str, Standing]:
    """Return what holds for each model, as the objects that were there before where nothing changed."""
    wanted = {digest: Standing(blocked, found or None) for digest, found in newcomers.items()}
    return {
        digest: known[digest] if digest in known and known[digest].is_same(standing) else standing
        for digest, standing in wanted.items()
    }
