"""Gateway -> lake: matured impressions and their outcomes, and the interactions that people made of them."""

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task

from flows.clock import utc_now
from flows.held_accounts import hold_back
from flows.references import Snapshot
from flows.retries import is_worth_retrying
from flows.validate import merge, read_data_set, snapshot_of, suites_of
from flows.wiring import Platform, platform
from infra.event_records import Drained
from infra.tombstones import tombstone
from monitoring.quality import ValidationContext, prepare
from recmodels.data.feedback import live_interactions
from recmodels.data.schema import ORIGIN, ORIGIN_EVENT, REQUEST_ID, USER_KEY

MATURITY = timedelta(hours=72)
"""How late feedback may come: once an answer has moved to the lake, feedback on it is refused."""


@flow(name="collect", description="Move what the gateway saw into the lake.", persist_result=False)
def collect(start: datetime | None = None) -> Snapshot:
    """Move every matured event to the lake, and return the lake as it then is.

    Args:
        start: The snapshot holds the interactions from this moment on; None for all.

    Raises:
        StoreError: Nothing was ingested yet.
    """
    while move_batch():
        pass
    return current_snapshot(start)


@task(name="move events", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def move_batch() -> int:
    """Move one batch; it is deleted from the database only after the lake has it, and lands there once."""
    home = platform()
    drained = home.events.drain(before=utc_now() - MATURITY)
    if drained.is_empty:
        return 0
    _keep_added(home)
    with home.lake.reading():  # an erasure that comes in between sets its tombstone first and then waits for this
        _append(without_erased(home, drained))
    home.events.forget(drained)
    home.shadows.forget_finished()
    return int(drained.impressions.num_rows + drained.outcomes.num_rows)


@task(name="read snapshot")
def current_snapshot(start: datetime | None = None) -> Snapshot:
    """Return the lake as it is, its interactions from `start` on."""
    home = platform()
    held = read_data_set(home)
    return snapshot_of(home, name=held.name, is_order_only=held.is_order_only, start=start)


def _keep_added(home: Platform) -> None:
    """Bring the items that people added to the gateway into the lake, before interactions name them."""
    added = home.segments.items().items
    if added.num_rows and home.lake.version("items") is not None:
        merge(home, "items", added)


def without_erased(home: Platform, drained: Drained) -> Drained:
    """Return a batch without what erased users were shown, and what they did."""
    erased = home.erasures.tombstones.read().tombstones
    keys = pc.unique(drained.impressions[USER_KEY]).to_pylist() if erased else []
    gone = pa.array([key for key in keys if tombstone(key) in erased], pa.string())
    if not len(gone):
        return drained
    is_gone = pc.is_in(drained.impressions[USER_KEY], value_set=gone)
    shown = pc.unique(drained.impressions.filter(is_gone)[REQUEST_ID])
    outcomes = drained.outcomes.filter(pc.invert(pc.is_in(drained.outcomes[REQUEST_ID], value_set=shown)))
    return Drained(drained.batch, drained.impressions.filter(pc.invert(is_gone)), outcomes)


def _append(drained: Drained) -> None:
    home, key = platform(), f"events-{drained.batch}"
    impressions = _sift(home, "impressions", drained.impressions, key=key)
    outcomes = _sift(home, "outcomes", drained.outcomes, key=key)
    if impressions.num_rows:
        home.lake.append("impressions", impressions, key=key)
        people = impressions.filter(pc.equal(impressions[ORIGIN], ORIGIN_EVENT))
        user_ids = home.events.user_ids(pc.unique(people[USER_KEY]).to_pylist())
        joined = live_interactions(people, outcomes, user_ids=user_ids)
        interactions = hold_back(home, _sift(home, "interactions", joined, key=key))
        if interactions.num_rows:
            home.lake.append("interactions", interactions, key=key)
    if outcomes.num_rows:
        home.lake.append("outcomes", outcomes, key=key)


def _sift(home: Platform, name: str, rows: pa.Table, *, key: str) -> pa.Table:
    """Return the rows that keep every rule of their suite; the others go to the quarantine, once a batch."""
    now = utc_now()
    prepared = prepare(rows, name=name, context=ValidationContext(as_of=now, now=now), suites=suites_of(home))
    if prepared.quarantined.num_rows:
        home.lake.append("quarantine", prepared.quarantined, key=f"{key}-{name}")
    return prepared.good
