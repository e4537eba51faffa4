"""What lists show, by creator size, newness, popularity and category, beside what people took before.

Everything is measured on the lists that accuracy is measured on, users count equally, and intervals are over users.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.schema import CATEGORY, USER_ID
from recmodels.evaluation import exposure_figures as figures
from recmodels.evaluation.bootstrap import Interval, bootstrap_means, percentile_interval
from recmodels.evaluation.fairness import Draws, Exposure, Fairness, Measured
from recmodels.evaluation.metrics import count_recommended

PerUser = Callable[[Mapping[str, NDArray[np.float64]]], pa.Table]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What fairness asks of a bundle.

    Attributes:
        items: Rows in the schema `ITEMS`, in index order.
        item_counts: ``(V,)`` training interactions of each index.
    """

    items: pa.Table
    item_counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lists:
    """The lists that are judged.

    Attributes:
        items: ``(Q, K)`` item indices, best first.
        histories: Q rows, what was known of each user.
    """

    items: NDArray[np.int32]
    histories: Histories


def calibration(lists: Lists, catalogue: Catalogue, *, top_ks: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Return ``calibration_kl_at_k`` of each list, ``(Q,)`` for each k; see `exposure_figures.calibration_kl`."""
    shares = figures.category_shares(catalogue.items[CATEGORY].to_pylist())
    return {f"calibration_kl_at_{k}": figures.calibration_kl(lists.items, lists.histories, shares, k=k) for k in top_ks}


def measure_exposure(
    lists: Lists, catalogue: Catalogue, per_user: PerUser, *, top_ks: Sequence[int], draws: Draws
) -> Measured:
    """Measure what lists show: popularity lift, exposure by creator size and newness, and its Gini over creators.

    Args:
        lists: Q lists.
        catalogue: The items.
        per_user: Turns values of queries into means of users.
        top_ks: Lengths of lists.
        draws: How intervals are made.
    """
    groups = figures.item_groups(catalogue.items, catalogue.item_counts)
    creators = figures.creators_of(catalogue.items)
    metrics: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    for k in top_ks:
        of_list, of_history = figures.popularity(lists.items, lists.histories, catalogue.item_counts, k=k)
        both = _values(per_user({"list": of_list, "history": of_history}))
        value, interval = lift_of(both, draws)
        if math.isfinite(value):
            metrics[f"popularity_lift_at_{k}"], intervals[f"popularity_lift_at_{k}"] = value, interval
        counts = count_recommended(lists.items, k=k, size=len(catalogue.item_counts))
        if (spread := figures.creator_gini(counts, creators)) is not None:
            metrics[f"creator_gini_at_{k}"] = spread
        values = _values(per_user(figures.slot_shares(lists.items, groups, k=k)))
        drawn = bootstrap_means(values, samples=draws.samples, seed=draws.seed)
        for place, name in enumerate(groups):
            if np.isfinite(values[:, place]).any():
                key = exposure_metric(name, k)
                metrics[key] = float(np.nanmean(values[:, place]))
                intervals[key] = percentile_interval(drawn[:, place], confidence=draws.confidence)
    exposure = _exposures(groups, catalogue, metrics, intervals, k=min(top_ks))
    return Measured(metrics, intervals, Fairness(min(top_ks), exposure))


def exposure_metric(group: str, k: int) -> str:
    """Return the metric's name of a group's exposure, such as ``"exposure_creators_small_at_10"``."""
    return f"exposure_{group.replace('=', '_')}_at_{k}"


def lift_of(per_user: NDArray[np.float64], draws: Draws) -> tuple[float, Interval]:
    """Return the popularity lift and its interval: mean popularity of the lists over that of the histories.

    1 says that people are shown items as popular as those that they took, 2 twice as popular. Both means are over the
    same users, drawn together. NaN where nobody has a history.

    Source: the group average popularity of Abdollahpouri et al. 2019, as a ratio rather than as a relative difference.

    Args:
        per_user: ``(U, 2)`` popularity of the lists and of the history of each user.
        draws: How the interval is made.
    """
    present = per_user[np.isfinite(per_user).all(axis=1)]
    if len(present) == 0 or present[:, 1].sum() == 0:
        return math.nan, Interval(math.nan, math.nan)
    drawn = bootstrap_means(present, samples=draws.samples, seed=draws.seed)
    ratios = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.nan), where=drawn[:, 1] > 0)
    value = float(present[:, 0].mean() / present[:, 1].mean())
    return value, percentile_interval(ratios, confidence=draws.confidence)


def _values(per_user: pa.Table) -> NDArray[np.float64]:
    columns = [per_user[name].to_numpy() for name in per_user.column_names if name != USER_ID]
    return np.stack(columns, axis=1) if columns else np.zeros((per_user.num_rows, 0))


def _exposures(
    groups: Mapping[str, NDArray[np.bool_]],
    catalogue: Catalogue,
    metrics: Mapping[str, float],
    intervals: Mapping[str, Interval],
    *,
    k: int,
) -> dict[str, Exposure]:
    found = {}
    for name, members in groups.items():
        key = exposure_metric(name, k)
        kind = [mask for other, mask in groups.items() if other.partition("=")[0] == name.partition("=")[0]]
        of_kind = np.logical_or.reduce(kind)
        if key in metrics:
            found[name] = Exposure(
                exposure=metrics[key],
                lower=intervals[key].lower,
                upper=intervals[key].upper,
                consumption=_share(catalogue.item_counts, members, of_kind),
                catalogue=_share(np.ones(len(members)), members, of_kind),
            )
    return found


def _share(
    weights: NDArray[np.int64] | NDArray[np.float64], members: NDArray[np.bool_], of: NDArray[np.bool_]
) -> float:
    total = weights[of].sum()
    return float(weights[members].sum() / total) if total > 0 else 0.0
