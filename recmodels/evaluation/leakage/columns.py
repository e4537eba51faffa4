"""Whether what is known of items and users was known before the test part: their times, numbers and words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.evaluation.leakage.findings import Finding, LeakageConfig, Severity, judged
from recmodels.evaluation.leakage.ranks import association, partial, ranks

_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?$"
_NUMBER = r"^ *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)? *$"
_MOST_WORDS = 50
"""A column of words with more different ones names things, and is not judged."""
_ROWS_A_WORD = 10
"""With fewer rows a word on average, chance alone tells words apart."""
_A_DAY = 86_400_000_000
_NEVER = np.iinfo(np.int64).max
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Counts:
    """Events of each row of a table before the test part and in it, ``(N,)`` both."""

    what: str
    before: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Described:
    """Items or users, and what happened with them.

    Attributes:
        kind: ``items`` or ``users``.
        table: ``(N,)`` rows, one an id.
        key: Column of the id.
        counts: Several ways to count; the first one decides which rows have an event.
        first_seen: ``(N,)`` time of the first event in microseconds; the largest number without one.
        cut: First moment of the test part in microseconds; None where there is no common one.
        has_window: The test part holds more than one event of a user by rule, so that counts in it say something.
    """

    kind: str
    table: pa.Table
    key: str
    counts: Sequence[Counts]
    first_seen: NDArray[np.int64]
    cut: int | None
    has_window: bool


def column_findings(described: Described, *, has_times: bool, config: LeakageConfig) -> Iterator[Finding]:
    """Look at every column but the id; a column that is empty or names things is passed over.

    Args:
        described: The table.
        has_times: The data has times; without, columns of times are passed over.
        config: From which size on something matters.
    """
    for name in described.table.column_names:
        column = described.table[name].combine_chunks()
        if name == described.key or column.null_count == len(column):
            continue
        label = f"{described.kind}.{name}"
        moments = as_moments(column)
        if moments is not None:
            if has_times:
                yield _moments(label, moments, described, config)
        elif (numbers := as_numbers(column)) is not None:
            yield _numbers(label, numbers, described, config)
        elif (words := as_words(column)) is not None and described.has_window:
            yield _words(label, words, described, config)


def as_moments(column: pa.Array) -> NDArray[np.int64] | None:
    """Return times in microseconds, ``(N,)``, the smallest number for none; None if these are no times."""
    missing = np.iinfo(np.int64).min
    if pa.types.is_string(column.type):
        is_date = pc.fill_null(pc.match_substring_regex(column, pattern=_DATE), False)  # noqa: FBT003 - the fill
        if not _is_nearly_all(is_date, column):
            return None
        days = pc.strptime(pc.utf8_slice_codeunits(column, 0, 10), "%Y-%m-%d", "us", error_is_null=True)
        return np.asarray(pc.fill_null(days.cast(pa.int64()), missing).to_numpy())
    if pa.types.is_timestamp(column.type):
        return np.asarray(pc.fill_null(column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()), missing))
    return None


def as_numbers(column: pa.Array) -> NDArray[np.float64] | None:
    """Return numbers, ``(N,)``, NaN for none; None if these are no numbers."""
    if pa.types.is_string(column.type):
        is_number = pc.fill_null(pc.match_substring_regex(column, pattern=_NUMBER), False)  # noqa: FBT003 - the fill
        if not _is_nearly_all(is_number, column):
            return None
        column = pc.utf8_trim_whitespace(pc.if_else(is_number, column, pa.scalar(None, column.type))).cast(pa.float64())
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False))


def as_words(column: pa.Array) -> NDArray[np.int64] | None:
    """Return the number of each row's word, ``(N,)``, -1 for none; None if there is one word only, or too many."""
    if not (pa.types.is_string(column.type) or pa.types.is_boolean(column.type)):
        return None
    encoded = column.cast(pa.string()).dictionary_encode()
    if not 2 <= len(encoded.dictionary) <= _MOST_WORDS:
        return None
    return np.asarray(pc.fill_null(encoded.indices.cast(pa.int64()), -1))


def _is_nearly_all(is_one: pa.Array, column: pa.Array) -> bool:
    """Tell whether 99 of 100 values that are there are of a kind."""
    return bool(pc.sum(is_one).as_py() >= 0.99 * (len(column) - column.null_count))


def _moments(label: str, moments: NDArray[np.int64], described: Described, config: LeakageConfig) -> Finding:
    known = (moments != np.iinfo(np.int64).min) & (described.first_seen != _NEVER)
    if known.sum() < config.minimum_ids:
        return _worst(label, [])
    slack = int(config.slack_days * _A_DAY)
    is_early = moments[known] > described.first_seen[known] + slack
    early = float(is_early.mean())
    cut = described.cut
    before = known & (described.first_seen < cut) if cut is not None else known & False
    late = float((moments[before] >= cut).mean()) if cut is not None and before.any() else 0.0
    is_late = late >= config.late_share and late > 0
    return judged(
        label,
        late if is_late else early,
        f"{early:.1%} of {int(known.sum()):,} {described.kind} have an event more than {config.slack_days:g} days "
        f"before this time, and {late:.1%} of those known before the test part carry a time after its beginning.",
        note_at=config.early_share,
        leak_at=config.late_share if is_late else config.column_leak,
        why="What carries a time after the cut was written after it, and tells of what happened until then."
        if is_late
        else "A time that should come first comes after events: it is of another thing, or was written later.",
        advice=f"Take {described.kind} as they were at the cut, or leave the column out.",
    )


def _numbers(label: str, numbers: NDArray[np.float64], described: Described, config: LeakageConfig) -> Finding:
    found = []
    for counts in described.counts:
        values, before, test = _chosen(numbers, np.isfinite(numbers), counts)
        if _is_too_little(test, config):
            continue
        hit = test > 0
        equal, of = max(
            (_agreement(values[hit], test[hit]), f"{counts.what} of the test part"),
            (_agreement(values[hit], (before + test)[hit]), f"all {counts.what}, the test part included"),
        )
        if equal >= config.column_leak:
            found.append(_copied(label, equal, of, described))
        elif described.has_window:
            ranked = ranks(values), ranks(test), ranks(before)
            foresight, hindsight = abs(partial(*ranked)), abs(partial(ranked[0], ranked[2], ranked[1]))
            found.append(_foreseeing(label, foresight, hindsight, counts.what, described, config))
    return _worst(label, found)


def _words(label: str, words: NDArray[np.int64], described: Described, config: LeakageConfig) -> Finding:
    found = []
    for counts in described.counts:
        groups, before, test = _chosen(words, words >= 0, counts)
        if _is_too_little(test, config) or len(groups) < _ROWS_A_WORD * len(np.unique(groups)):
            continue
        foresight = association(groups, ranks(test), ranks(before))
        hindsight = association(groups, ranks(before), ranks(test))
        found.append(_foreseeing(label, foresight, hindsight, counts.what, described, config))
    return _worst(label, found)


def _chosen(
    values: NDArray[_Value], is_known: NDArray[np.bool_], counts: Counts
) -> tuple[NDArray[_Value], NDArray[np.int64], NDArray[np.int64]]:
    """Return values and counts before and after the cut, of the rows that have a value and an event."""
    kept = is_known & (counts.before + counts.test > 0)
    return values[kept], counts.before[kept], counts.test[kept]


def _is_too_little(test: NDArray[np.int64], config: LeakageConfig) -> bool:
    return bool((test > 0).sum() < config.minimum_ids)


def _worst(label: str, found: list[Finding]) -> Finding:
    if not found:
        return Finding(name=label, severity=Severity.OK, size=0.0, what="Too few ids have a value and events to say.")
    return max(found, key=lambda one: (list(Severity).index(one.severity), one.size))


def _copied(label: str, size: float, of: str, described: Described) -> Finding:
    return Finding(
        name=label,
        severity=Severity.LEAK,
        size=size,
        what=f"The column equals the number of {of} ({size:.0%} agreement beyond chance).",
        why="It was counted after the fact: who reads it reads the answers.",
        advice=f"Count up to the cut, or leave the column out of {described.kind}.",
    )


def _foreseeing(
    label: str, foresight: float, hindsight: float, what: str, described: Described, config: LeakageConfig
) -> Finding:
    is_one_sided = foresight - hindsight >= config.column_excess or foresight >= config.column_certain
    seen = (
        f"Goes with the number of {what} of the test part, given those before it, by {foresight:.2f}, and the other "
        f"way round by {hindsight:.2f}."
    )
    return judged(
        label,
        foresight,
        seen,
        note_at=config.column_note if is_one_sided else np.inf,
        leak_at=config.column_leak if is_one_sided else None,
        why="What was known before tells of both alike; this column knows more of what came after.",
        advice=f"Ask when it was computed; take {described.kind} as they were at the cut.",
    )


def _agreement(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Return how often two columns are equal beyond what shuffling one would give, 1 for always.

    Source: Cohen's kappa (1960), with the values as categories.
    """
    observed = float((values == counts).mean())
    left, left_counts = np.unique(values, return_counts=True)
    right, right_counts = np.unique(counts.astype(np.float64), return_counts=True)
    _, first, second = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    expected = float(left_counts[first].astype(np.float64) @ right_counts[second]) / len(values) ** 2
    return (observed - expected) / (1 - expected) if expected < 1 else 0.0
