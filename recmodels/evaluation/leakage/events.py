"""Whether events of the test part are known before it: shared, repeated, tied, or later than what was learned from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recmodels.data.cuts import TEST
from recmodels.data.splits import DividedEvents
from recmodels.evaluation.leakage.findings import Finding, LeakageConfig, Severity, judged

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, eq=False)
class Judged:
    """The events of a split as numbers, sorted by user and time.

    Attributes:
        users: ``(E,)`` number of the user.
        items: ``(E,)`` number of the item.
        timestamps: ``(E,)`` microseconds since 1970 UTC.
        is_test: ``(E,)`` a target of the test part; everything else is before it, validation included: that part
            chooses the epoch, and its events stand in the histories of the test.
        is_time_split: Everybody is cut at the same moments.
        is_order_only: The timestamps are positions.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    is_time_split: bool
    is_order_only: bool

    @classmethod
    def of(cls, divided: DividedEvents, *, is_time_split: bool, is_order_only: bool) -> "Judged":
        """Number the events of a split."""
        events = divided.events
        return cls(
            users=np.repeat(np.arange(len(events.user_ids)), np.diff(events.user_starts)),
            items=events.items.dictionary_encode().indices.to_numpy().astype(np.int64),
            timestamps=events.timestamps,
            is_test=divided.parts == TEST,
            is_time_split=is_time_split,
            is_order_only=is_order_only,
        )


def event_findings(judged_events: Judged, *, remove_seen: bool, config: LeakageConfig) -> Iterator[Finding]:
    """Look at every test event; yields one finding a question.

    Args:
        judged_events: Events with at least one in the test part.
        remove_seen: Items of the history are left out of lists.
        config: From which size on something matters.
    """
    yield from _pairs(judged_events, remove_seen=remove_seen, config=config)
    yield _later_training(judged_events)
    yield _ties(judged_events, config)


def _pairs(found: Judged, *, remove_seen: bool, config: LeakageConfig) -> Iterator[Finding]:
    gaps = _gaps(found)  # (T,) microseconds since the same user's last event with the same item before the test part
    is_shared = (gaps >= 0) & (gaps < config.same_event_seconds * _MICROSECONDS)
    shared, repeated = float(is_shared.mean()), float(((gaps >= 0) & ~is_shared).mean())
    yield judged(
        "shared_events",
        shared,
        f"{shared:.2%} of {len(gaps):,} test events are before the test part too (same user and item, less than "
        f"{config.same_event_seconds:g} s apart).",
        note_at=0.0,
        leak_at=config.shared_share,
        why="The model is asked for what it was shown as history.",
        advice="Remove duplicates where the data is written: give events ids of their own, so that one logged twice "
        "counts once.",
    )
    yield judged(
        "repeated_pairs",
        repeated,
        f"{repeated:.2%} of the test events are of an item that the user met before the test part.",
        note_at=config.repeated_share,
        leak_at=None,
        why=f"Seen items are removed, so these targets are misses by rule and no model can find more than "
        f"{1 - repeated:.1%}."
        if remove_seen
        else "Seen items are kept, so repeating the history finds them.",
        advice="Set evaluation.remove_seen=false where people return to items."
        if remove_seen
        else "Report figures with evaluation.remove_seen=true beside these.",
    )


def _gaps(found: Judged) -> NDArray[np.int64]:
    """Return the time since the same pair's last event before the test part, of each test event; -1 without one."""
    pairs = found.users * (int(found.items.max(initial=0)) + 1) + found.items
    order = np.lexsort((found.is_test, found.timestamps, pairs))
    pairs, times, is_test = pairs[order], found.timestamps[order], found.is_test[order]
    last = np.maximum.accumulate(np.where(is_test, -1, np.arange(len(order))))[is_test]
    known = (last >= 0) & (pairs[np.maximum(last, 0)] == pairs[is_test])
    return np.where(known, times[is_test] - times[np.maximum(last, 0)], -1)


def _later_training(found: Judged) -> Finding:
    name = "later_training"
    if found.is_order_only:
        return Finding(name=name, severity=Severity.OK, size=0.0, what="The data has an order and no times.")
    before = np.sort(found.timestamps[~found.is_test])
    known = np.searchsorted(before, found.timestamps[found.is_test], side="right")
    share = float(1 - known.mean() / max(len(before), 1))
    return judged(
        name,
        share,
        f"{share:.1%} of the events before the test part happened after a test event, on average.",
        note_at=0.0,
        leak_at=0.0 if found.is_time_split else None,
        why="What others did later was learned from: trends and new items are known ahead."
        if not found.is_time_split
        else "A time split must not learn from what came later.",
        advice="Compare leave-one-out with papers only; decide by split.kind=time.",
    )


def _ties(found: Judged, config: LeakageConfig) -> Finding:
    if found.is_order_only:
        return Finding(name="ties", severity=Severity.OK, size=0.0, what="The data has an order and no times.")
    seconds = found.timestamps // _MICROSECONDS
    is_start = np.ones(len(seconds), dtype=np.bool_)
    is_start[1:] = (np.diff(seconds) != 0) | (np.diff(found.users) != 0)
    group = np.cumsum(is_start) - 1
    in_test = np.bincount(group, weights=found.is_test)[group][found.is_test]
    before = np.bincount(group, weights=~found.is_test)[group][found.is_test]
    history, others = float((before > 0).mean()), float((in_test > 1).mean())
    is_asked_of_history = not found.is_time_split
    return judged(
        "ties",
        history if is_asked_of_history else max(history, others),
        f"{history:.1%} of the test events share user and second with an event before the test part, {others:.1%} with "
        "another test event.",
        note_at=config.tied_share,
        leak_at=config.tied_history_share if is_asked_of_history else None,
        why="What was chosen in the same moment as the target stands in its history, and their order is a hash."
        if is_asked_of_history
        else "Equal times are targets of one query, so its list is judged on several items at once; the order of "
        "events within a second says little.",
        advice="Use split.kind=time, where equal times are never history."
        if is_asked_of_history
        else "Keep times as fine as they were logged.",
    )
