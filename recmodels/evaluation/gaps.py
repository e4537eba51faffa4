"""The largest gap between groups of users: who is served less well, with an interval that knows of the choice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data.schema import USER_ID
from recmodels.evaluation.bootstrap import Interval, bootstrap_means
from recmodels.evaluation.fairness import Draws, Gap, Measured
from recmodels.lineage import OLDER_USERS

MINIMUM_GROUP: Final = 20
"""A group with fewer users takes no part in a gap."""
MOST_GROUPS: Final = 20
"""Groups of one kind that are compared, largest first."""


def group_gaps(slices: Mapping[str, pa.Table], metric: str, draws: Draws) -> dict[str, Gap]:
    """Return the largest gap of each kind of group of users; a kind with fewer than two large groups is left out.

    Args:
        slices: Per-user values of each slice; slices of items and of older users are no groups of people.
        metric: Which value.
        draws: How intervals are made.
    """
    kinds: dict[str, list[str]] = {}
    for name in slices:
        kind = name.partition("=")[0]
        if kind != "item" and name != OLDER_USERS:
            kinds.setdefault(kind, []).append(name)
    gaps = {
        kind: largest_gap(_side_by_side(slices, names, metric), names, metric, draws) for kind, names in kinds.items()
    }
    return {kind: gap for kind, gap in gaps.items() if gap is not None}


def with_gaps(measured: Measured, gaps: dict[str, Gap]) -> Measured:
    """Add gaps to what was measured, as metrics with intervals, named such as ``"gap_activity_ndcg_at_10"``."""
    names = {kind: f"gap_{_slug(kind)}_{gap.metric}" for kind, gap in gaps.items()}
    return Measured(
        measured.metrics | {names[kind]: gap.difference for kind, gap in gaps.items()},
        measured.intervals | {names[kind]: Interval(gap.lower, gap.upper) for kind, gap in gaps.items()},
        replace(measured.fairness, gaps=gaps),
    )


def largest_gap(values: NDArray[np.float64], names: Sequence[str], metric: str, draws: Draws) -> Gap | None:
    """Return the largest difference of means between two groups; None with fewer than two that are large enough.

    Users are drawn once for all groups, so a user of several groups (surfaces) is paired with themselves. The pair is
    chosen after looking, so its interval is wide enough for all pairs at once: the difference plus and minus its
    standard error times the quantile of the largest studentised deviation of any pair.

    Args:
        values: ``(U, G)`` the metric of each user in each group; NaN where the user is not of it.
        names: ``(G,)`` the groups.
        metric: Its name, for the record.
        draws: How the interval is made.
    """
    sizes = np.isfinite(values).sum(axis=0)
    order = np.argsort(-sizes, kind="stable")[:MOST_GROUPS]
    kept = np.sort(order[sizes[order] >= MINIMUM_GROUP])
    if len(kept) < 2:
        return None
    values = values[:, kept]
    values = values[np.isfinite(values).any(axis=1)]
    means = np.nanmean(values, axis=0)
    best, worst = int(means.argmax()), int(means.argmin())
    deviations = bootstrap_means(values, samples=draws.samples, seed=draws.seed) - means  # (S, G)
    pairs = deviations[:, :, None] - deviations[:, None, :]  # (S, G, G)
    errors = np.nanstd(pairs, axis=0)
    studentised = np.divide(np.abs(pairs), errors, out=np.zeros_like(pairs), where=errors > 0)
    reach = float(np.quantile(np.nanmax(studentised, axis=(1, 2)), draws.confidence)) * float(errors[best, worst])
    difference = float(means[best] - means[worst])
    return Gap(
        metric=metric,
        best=names[kept[best]],
        worst=names[kept[worst]],
        best_value=float(means[best]),
        worst_value=float(means[worst]),
        difference=difference,
        lower=difference - reach,
        upper=difference + reach,
        num_groups=len(kept),
    )


def _slug(text: str) -> str:
    """Return a text that every tracker takes as part of a metric's name."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)


def _side_by_side(slices: Mapping[str, pa.Table], names: Sequence[str], metric: str) -> NDArray[np.float64]:
    """Return the metric of each user in each group, (U, G); NaN where the user is not of it."""
    ids = [np.asarray(slices[name][USER_ID].to_pylist(), dtype=np.str_) for name in names]
    users = np.unique(np.concatenate(ids))
    values = np.full((len(users), len(names)), np.nan)
    for place, (name, members) in enumerate(zip(names, ids, strict=True)):
        values[np.searchsorted(users, members), place] = slices[name][metric].to_numpy()
    return values
