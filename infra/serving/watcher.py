"""Polls what changes from outside, who serves and what is taken down, and hands a new view to the gateway."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from infra.rollouts import RolloutStore
from infra.serving.slots import Garage, Lineup
from infra.takedowns import TakedownStore

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""How often the stores are read; a rollback holds within it plus one read."""

RELOAD_SECONDS = 10.0
"""How long a model that could not be loaded is left alone before it is tried again."""


@dataclass(frozen=True)
class View:
    """All that a request needs to know of the world; replaced as a whole.

    Attributes:
        lineup: Who serves.
        blocked: Items taken down.
        is_store_reachable: The last poll succeeded; when it did not, the last known state goes on serving.
        has_polled: The stores were read at least once.
    """

    lineup: Lineup = field(default_factory=Lineup)
    blocked: frozenset[str] = frozenset()
    is_store_reachable: bool = False
    has_polled: bool = False


class Watcher:
    """A thread that keeps a `View` current.

    Args:
        rollouts: Tells who serves.
        takedowns: Tells what is blocked.
        garage: Loads models.
        publish: Called in the watcher's thread with each new view; must be quick.
        poll_seconds: Time between two polls.
    """

    def __init__(
        self,
        rollouts: RolloutStore,
        takedowns: TakedownStore,
        *,
        garage: Garage,
        publish: Callable[[View], None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._rollouts = rollouts
        self._takedowns = takedowns
        self._garage = garage
        self._publish = publish
        self._poll_seconds = poll_seconds
        self._view = View()
        self._reload_at = 0.0
        self._takedown_version = -1
        self._is_warned = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Poll once, so that the first request meets loaded models, then go on in the background."""
        self._poll()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(timeout=5)
        self._garage.release(keep=Lineup())

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            self._poll()

    def _poll(self) -> None:
        try:
            view = self._look()
        except Exception as error:  # noqa: BLE001 - a door: the last known state serves until the store answers again
            if not self._is_warned:
                _log.warning("stores not readable, the last known state goes on serving: %r", error)
            self._is_warned = True
            view = replace(self._view, is_store_reachable=False)
        else:
            self._is_warned = False
        if view != self._view:
            self._view = view
            self._publish(view)
            self._garage.release(keep=view.lineup)

    def _look(self) -> View:
        serving = self._rollouts.serving()
        lineup, blocked = self._view.lineup, self._view.blocked
        is_due = not lineup.is_complete and time.monotonic() >= self._reload_at
        if not self._view.has_polled or serving.revision != lineup.serving.revision or is_due:
            lineup = self._garage.line_up(serving, previous=lineup)
            self._reload_at = time.monotonic() + RELOAD_SECONDS
        if self._takedowns.version() != self._takedown_version:
            listed = self._takedowns.blocked()
            blocked, self._takedown_version = listed.item_ids, listed.version
        return View(lineup, blocked, is_store_reachable=True, has_polled=True)
