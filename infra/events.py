"""What was served and what came of it, on the way to the lake: durable when acknowledged, counted once, moved once."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from infra.database import Database, from_microseconds, to_microseconds
from infra.event_drain import forget_batch, next_batch, waiting_events
from infra.event_figures import rollout_figures
from infra.event_records import (
    ArmFigures,
    Drained,
    Outcome,
    OutcomeReceipt,
    Rejection,
    Reward,
    RolloutFigures,
    ServedRequest,
    Visit,
    outcomes,
    requests,
    user_key,
    user_keys,
)
from recmodels.data import schema

__all__ = [
    "ArmFigures",
    "Drained",
    "EventStore",
    "Outcome",
    "OutcomeReceipt",
    "Rejection",
    "RolloutFigures",
    "ServedRequest",
    "Visit",
    "user_key",
]

OUTCOME_KINDS: Final = frozenset({*schema.FEEDBACK_COLUMNS, schema.WATCH_SECONDS})
_CHUNK: Final = 500
_RECENT_FACTOR: Final = 16  # requests that are looked at for each recent user
_PLAIN_COLUMNS: Final = (
    "request_id",
    "user_key",
    "surface",
    "query",
    "model_version",
    "rollout_id",
    "step",
    "arm",
    "num_requested",
    "num_blocked",
    "is_fallback",
    "is_error",
    "is_non_finite",
    "latency_seconds",
    "origin",
    "segment_version",
)
_COPIED_COLUMNS: Final = ("rollout_id", "step", "arm", "user_key")


@dataclass(frozen=True)
class _Slate:
    """What a request showed, and what its outcomes carry of it so that the judge's sums need no join."""

    item_ids: frozenset[str]
    copied: dict[str, Any]


class EventStore:
    """Requests and outcomes, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append_requests(self, served: Sequence[ServedRequest]) -> int:
        """Keep answers, all of them in one transaction; it is durable when this returns.

        Returns:
            How many were new; one whose `request_id` is there already is passed over.
        """
        if not served:
            return 0
        with self._database.begin() as connection:
            return self._insert_requests(connection, served)

    def append_outcomes(self, events: Sequence[Outcome]) -> OutcomeReceipt:
        """Keep feedback, all of it in one transaction; it is durable when this returns.

        Only the first outcome of a kind on an item of a request counts in `arm_units`; later ones are kept, but move no
        verdict. An event whose request or item was never served is rejected with the reason.
        """
        return self.append_reports([events])[0]

    def append_reports(self, reports: Sequence[Sequence[Outcome]]) -> list[OutcomeReceipt]:
        """Keep the feedback of several clients in one transaction, as `append_outcomes` does for one.

        Returns:
            What became of each report, in order.
        """
        with self._database.begin(lock="outcomes") as connection:
            return self._insert_reports(connection, reports)

    def append_group(
        self, served: Sequence[ServedRequest], reports: Sequence[Sequence[Outcome]]
    ) -> list[OutcomeReceipt]:
        """Keep answers and then feedback, which may be about them, in one transaction: one wait for the disk.

        Returns:
            What became of each report, in order.
        """
        if not reports:
            self.append_requests(served)
            return []
        with self._database.begin(lock="outcomes") as connection:
            self._insert_requests(connection, served)
            return self._insert_reports(connection, reports)

    def _insert_requests(self, connection: Connection, served: Sequence[ServedRequest]) -> int:
        names = {request.user_key: request.user_id for request in served if request.user_id}
        rows = [{"user_key": key, "user_id": name} for key, name in names.items()]
        self._database.insert_new_plain(connection, user_keys, rows)
        return self._database.insert_new_plain(connection, requests, [_request_row(request) for request in served])

    def _insert_reports(self, connection: Connection, reports: Sequence[Sequence[Outcome]]) -> list[OutcomeReceipt]:
        events = list(chain.from_iterable(reports))
        rows: list[dict[str, Any]] = []
        known, counted = _known_events(connection, events), _counted(connection, events)
        slates = _slates(connection, events)
        receipts = [_sift(report, rows, slates=slates, known=known, counted=counted) for report in reports]
        self._database.insert_new_plain(connection, outcomes, rows)
        return receipts

    def arm_units(
        self,
        rollout_id: str,
        *,
        reward_kind: str,
        matured_before: datetime,
        step: int | None = None,
        cap: float | None = None,
        label_window_seconds: float | None = None,
        slow_floor_seconds: float = 0.0,
    ) -> RolloutFigures:
        """Return what the two arms of a rollout did, by unit.

        Args:
            rollout_id: The rollout.
            reward_kind: Outcome kind that is summed as the reward.
            matured_before: A request enters when it was answered before this moment.
            step: Only requests of this step; None for all of them.
            cap: Each outcome's value is at most this; None for no cap.
            label_window_seconds: An outcome later than this after its request does not count; None for no limit.
            slow_floor_seconds: An answer within this time is never slow, however fast the control is.
        """
        reward = Reward(reward_kind, cap, label_window_seconds)
        with self._database.read() as connection:
            return rollout_figures(
                connection,
                rollout_id,
                reward=reward,
                matured_before=matured_before,
                step=step,
                slow_floor_seconds=slow_floor_seconds,
            )

    def drain(self, *, before: datetime, limit: int = 100_000) -> Drained:
        """Return the next batch of events for the lake: requests answered before `before`, and their outcomes.

        A batch that was drained and not forgotten is returned again, unchanged, whatever `before` says: a process that
        died between the lake and `forget` goes on where it stopped. Call again after `forget` until it is empty.

        Args:
            before: Usually the present less the time in which feedback may still arrive.
            limit: Most requests in one batch.
        """
        with self._database.begin(lock="drain") as connection:
            return next_batch(connection, before=before, limit=limit)

    def waiting(self, *, origin: str, share: float = 1.0) -> Drained:
        """Return what has not begun to move to the lake, without moving it; its batch is 0 and cannot be forgotten.

        Args:
            origin: Only answers of this origin.
            share: Only those of about this share of the users, the same users at every call.
        """
        with self._database.read() as connection:
            return waiting_events(connection, origin=origin, share=share)

    def is_waiting(self, *, origin: str) -> bool:
        """Say whether anything of an origin has not begun to move to the lake."""
        mine = requests.c.batch.is_(None) & (requests.c.origin == origin)
        with self._database.read() as connection:
            return connection.execute(select(requests.c.id).where(mine).limit(1)).first() is not None

    def forget(self, drained: Drained) -> None:
        """Delete a batch that the lake has; what an active rollout is judged on stays until the rollout is over."""
        with self._database.begin(lock="drain") as connection:
            forget_batch(connection, drained.batch)

    def visits(self, request_ids: Iterable[str]) -> dict[str, Visit]:
        """Return the visit behind each request id that is known."""
        query = select(
            requests.c.request_id, requests.c.user_key, requests.c.surface, requests.c.timestamp, requests.c.origin
        )
        with self._database.read() as connection:
            return {
                row.request_id: Visit(row.user_key, row.surface, from_microseconds(row.timestamp), row.origin)
                for chunk in _chunks(request_ids)
                for row in connection.execute(query.where(requests.c.request_id.in_(chunk)))
            }

    def recent_users(self, limit: int) -> list[str]:
        """Return the keys of the users who were served last, the newest first; at most `limit`."""
        newest = select(requests.c.user_key).order_by(requests.c.id.desc()).limit(_RECENT_FACTOR * limit)
        with self._database.read() as connection:
            return list(dict.fromkeys(connection.execute(newest).scalars()))[:limit]

    def user_ids(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the raw ids of those user keys that have one."""
        query = select(user_keys.c.user_key, user_keys.c.user_id)
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for chunk in _chunks(keys):
                found.update(connection.execute(query.where(user_keys.c.user_key.in_(chunk))).tuples().all())
        return found


def _request_row(request: ServedRequest) -> dict[str, Any]:
    assert len(request.item_ids) == len(request.scores) == len(request.propensities)
    row = {name: getattr(request, name) for name in _PLAIN_COLUMNS}
    row["timestamp"] = to_microseconds(request.timestamp)
    for name in ("item_ids", "scores", "propensities"):
        row[name] = msgspec.json.encode(getattr(request, name)).decode()  # a NaN becomes null
    row["num_items"] = len(request.item_ids)
    return row


def _sift(
    events: Sequence[Outcome],
    rows: list[dict[str, Any]],
    *,
    slates: Mapping[str, _Slate],
    known: set[str],
    counted: set[tuple[str, str, str]],
) -> OutcomeReceipt:
    """Add the new rows of one report to `rows`, and what they make known to `known` and `counted`."""
    rejected: list[Rejection] = []
    before = len(rows)
    for event in events:
        if event.event_id in known:
            continue
        slate = slates.get(event.request_id)
        reason = _why_not(event, slate)
        if reason or slate is None:
            rejected.append(Rejection(event.event_id, reason))
            continue
        triple = (event.request_id, event.item_id, event.kind)
        rows.append(_outcome_row(event, slate, is_first=triple not in counted))
        known.add(event.event_id)
        counted.add(triple)
    accepted = len(rows) - before
    return OutcomeReceipt(accepted, len(events) - accepted - len(rejected), tuple(rejected))


def _outcome_row(event: Outcome, slate: _Slate, *, is_first: bool) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "request_id": event.request_id,
        "item_id": event.item_id,
        "kind": event.kind,
        "value": event.value,
        "timestamp": to_microseconds(event.timestamp),
        "is_first": is_first,
        **slate.copied,
    }


def _why_not(event: Outcome, slate: _Slate | None) -> str:
    if event.kind not in OUTCOME_KINDS:
        return f"kind {event.kind!r} is not known. Known: {', '.join(sorted(OUTCOME_KINDS))}."
    if not math.isfinite(event.value):
        return f"value {event.value!r} is not a finite number."
    if slate is None:
        return f"request {event.request_id!r} was never answered here, or so long ago that its feedback is closed."
    if event.item_id not in slate.item_ids:
        return f"item {event.item_id!r} was not in the answer to request {event.request_id!r}."
    return ""


def _chunks(values: Iterable[str]) -> Iterator[Sequence[str]]:
    distinct = list(dict.fromkeys(values))
    return (distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK))


def _known_events(connection: Connection, events: Sequence[Outcome]) -> set[str]:
    query = select(outcomes.c.event_id)
    return {
        event_id
        for chunk in _chunks(event.event_id for event in events)
        for event_id in connection.execute(query.where(outcomes.c.event_id.in_(chunk))).scalars()
    }


def _slates(connection: Connection, events: Sequence[Outcome]) -> dict[str, _Slate]:
    columns = [requests.c[name] for name in ("request_id", "item_ids", *_COPIED_COLUMNS, "timestamp")]
    slates = {}
    for chunk in _chunks(event.request_id for event in events):
        for row in connection.execute(select(*columns).where(requests.c.request_id.in_(chunk))):
            items = frozenset(msgspec.json.decode(row.item_ids, type=list[str]))
            copied = {name: getattr(row, name) for name in _COPIED_COLUMNS} | {"requested_at": row.timestamp}
            slates[row.request_id] = _Slate(items, copied)
    return slates


def _counted(connection: Connection, events: Sequence[Outcome]) -> set[tuple[str, str, str]]:
    query = select(outcomes.c.request_id, outcomes.c.item_id, outcomes.c.kind)
    return {
        (row.request_id, row.item_id, row.kind)
        for chunk in _chunks(event.request_id for event in events)
        for row in connection.execute(query.where(outcomes.c.request_id.in_(chunk)))
    }
