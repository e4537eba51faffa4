"""Answers and feedback on their way into the store: which are new, which are refused and why, as rows."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from infra.columns import from_microseconds, to_microseconds
from infra.event_records import Outcome, OutcomeReceipt, Rejection, ServedRequest, Visit, outcomes, requests
from recmodels.data import schema

OUTCOME_KINDS: Final = frozenset({*schema.FEEDBACK_COLUMNS, schema.WATCH_SECONDS})
_CHUNK: Final = 500
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
class Slate:
    """What a request showed, and what its outcomes carry of it so that the judge's sums need no join."""

    item_ids: frozenset[str]
    copied: dict[str, Any]


def request_row(request: ServedRequest) -> dict[str, Any]:
    """Return an answer as a row of `requests`."""
    assert len(request.item_ids) == len(request.scores) == len(request.propensities)
    row = {name: getattr(request, name) for name in _PLAIN_COLUMNS}
    row["timestamp"] = to_microseconds(request.timestamp)
    for name in ("item_ids", "scores", "propensities"):
        row[name] = msgspec.json.encode(getattr(request, name)).decode()  # a NaN becomes null
    row["num_items"] = len(request.item_ids)
    return row


def sift(
    events: Sequence[Outcome],
    rows: list[dict[str, Any]],
    *,
    slates: Mapping[str, Slate],
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


def _outcome_row(event: Outcome, slate: Slate, *, is_first: bool) -> dict[str, Any]:
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


def _why_not(event: Outcome, slate: Slate | None) -> str:
    if event.kind not in OUTCOME_KINDS:
        return f"kind {event.kind!r} is not known. Known: {', '.join(sorted(OUTCOME_KINDS))}."
    if not math.isfinite(event.value):
        return f"value {event.value!r} is not a finite number."
    if slate is None:
        return f"request {event.request_id!r} was never answered here, or so long ago that its feedback is closed."
    if event.item_id not in slate.item_ids:
        return f"item {event.item_id!r} was not in the answer to request {event.request_id!r}."
    return ""


def chunks(values: Iterable[str]) -> Iterator[Sequence[str]]:
    """Yield the distinct values in parts that one statement takes."""
    distinct = list(dict.fromkeys(values))
    return (distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK))


def known_events(connection: Connection, events: Sequence[Outcome]) -> set[str]:
    """Return which event ids are in the store."""
    query = select(outcomes.c.event_id)
    return {
        event_id
        for chunk in chunks(event.event_id for event in events)
        for event_id in connection.execute(query.where(outcomes.c.event_id.in_(chunk))).scalars()
    }


def slates(connection: Connection, events: Sequence[Outcome]) -> dict[str, Slate]:
    """Return what each request showed, where it is known."""
    columns = [requests.c[name] for name in ("request_id", "item_ids", *_COPIED_COLUMNS, "timestamp")]
    slates = {}
    for chunk in chunks(event.request_id for event in events):
        for row in connection.execute(select(*columns).where(requests.c.request_id.in_(chunk))):
            items = frozenset(msgspec.json.decode(row.item_ids, type=list[str]))
            copied = {name: getattr(row, name) for name in _COPIED_COLUMNS} | {"requested_at": row.timestamp}
            slates[row.request_id] = Slate(items, copied)
    return slates


def visits(connection: Connection, request_ids: Iterable[str]) -> dict[str, Visit]:
    """Return the visit behind each request id that is known."""
    columns = [requests.c[name] for name in ("request_id", "user_key", "surface", "timestamp", "origin")]
    return {
        row.request_id: Visit(row.user_key, row.surface, from_microseconds(row.timestamp), row.origin)
        for chunk in chunks(request_ids)
        for row in connection.execute(select(*columns).where(requests.c.request_id.in_(chunk)))
    }


def counted(connection: Connection, events: Sequence[Outcome]) -> set[tuple[str, str, str]]:
    """Return which outcomes have counted already: request, item and kind."""
    query = select(outcomes.c.request_id, outcomes.c.item_id, outcomes.c.kind)
    return {
        (row.request_id, row.item_id, row.kind)
        for chunk in chunks(event.request_id for event in events)
        for row in connection.execute(query.where(outcomes.c.request_id.in_(chunk)))
    }
