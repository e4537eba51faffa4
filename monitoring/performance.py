"""How well the models that serve are doing: reward per impression by version, arm and surface, with its interval.

Unlike the canary's verdict these intervals are of one look: they are shown, and decide nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import ndtri

from monitoring.canary.arms import Floats
from monitoring.canary.ratio import moments, ratio_variance
from recmodels.data import schema

MINIMUM_USERS = 2
"""Fewer users have no variance, so no interval is given."""
_SHOWN_AT = "shown_at"
_REWARD = "reward"
_KEYS = [schema.REQUEST_ID, schema.ITEM_ID]


@dataclass(frozen=True)
class UserFigures:
    """Matured impressions and what came of them; one entry a user and combination of labels, or several.

    Attributes:
        users: User keys, (R,).
        impressions: Items shown, (R,).
        reward: Reward summed, (R,).
        labels: Name of a label, such as ``"arm"``, -> its values, (R,) each.
    """

    users: NDArray[np.str_]
    impressions: Floats
    reward: Floats
    labels: dict[str, NDArray[np.str_]]


@dataclass(frozen=True)
class OnlineMetric:
    """Reward per impression of one group of impressions.

    Attributes:
        labels: What the group is, such as ``{"arm": "canary", "surface": "video"}``; empty for everything.
        value: Sum of reward over sum of impressions.
        lower: Lower end of the interval; None with fewer than two users.
        upper: Upper end; None with fewer than two users.
        users: Users of the group.
        impressions: Impressions of the group.
    """

    labels: dict[str, str]
    value: float
    lower: float | None
    upper: float | None
    users: int
    impressions: int


def online_metrics(
    figures: UserFigures, *, by: Sequence[str] = (), confidence: float = 0.95
) -> tuple[OnlineMetric, ...]:
    """Return the metric of each group that has impressions, in the order of its labels.

    The unit is the user: the variance is the delta method's over users, the interval normal.

    Args:
        figures: Impressions and rewards by user.
        by: Names of the labels that make the groups; none for one group of everything.
        confidence: Chance that an interval holds the truth, at one look.

    Raises:
        ValueError: A label is not among those of the figures.
    """
    unknown = [name for name in by if name not in figures.labels]
    if unknown:
        raise ValueError(f"labels {unknown!r} are not known. Known: {', '.join(figures.labels)}.")
    is_shown = figures.impressions > 0
    columns = np.stack([np.zeros(figures.users.shape, "U1"), *(figures.labels[name].astype(np.str_) for name in by)])
    groups, group = np.unique(columns[:, is_shown], axis=1, return_inverse=True)
    metrics = []
    for index in range(groups.shape[1]):
        in_group = np.flatnonzero(is_shown)[group == index]
        labels = {name: str(value) for name, value in zip(by, groups[1:, index], strict=True)}
        metrics.append(_metric(figures, in_group, labels, confidence))
    return tuple(metrics)


def user_figures(
    impressions: pa.Table,
    outcomes: pa.Table,
    *,
    kind: str,
    as_of: datetime,
    label_window_seconds: float,
    by: Sequence[str] = (schema.MODEL_VERSION, schema.ARM, schema.SURFACE),
) -> UserFigures:
    """Join impressions to the outcomes of one kind and keep what has matured.

    An impression has matured once its label window has closed, whatever came of it. Of several outcomes of the kind on
    one impression, the largest within the window counts.

    Args:
        impressions: Rows in the schema `IMPRESSIONS`.
        outcomes: Rows in the schema `OUTCOMES`.
        kind: Outcome that is the reward, such as ``"clicked"``.
        as_of: The present, or the last event of a replay.
        label_window_seconds: Time after an impression within which an outcome counts.
        by: Columns of the impressions that become labels.
    """
    window = timedelta(seconds=label_window_seconds)
    shown = impressions.filter(pc.less_equal(impressions[schema.TIMESTAMP], pa.scalar(as_of - window)))
    rewards = _rewards(shown, outcomes, kind=kind, window=window)
    columns = [*_KEYS, schema.USER_KEY, *by]
    joined = shown.select(columns).join(rewards, keys=_KEYS, join_type="left outer")
    joined = joined.append_column("is_shown", pa.array(np.ones(joined.num_rows)))
    summed = joined.group_by([schema.USER_KEY, *by]).aggregate([("is_shown", "sum"), (_REWARD, "sum")])
    return UserFigures(
        users=_strings(summed[schema.USER_KEY]),
        impressions=summed["is_shown_sum"].to_numpy(),
        reward=pc.fill_null(summed[f"{_REWARD}_sum"], 0.0).to_numpy(),
        labels={name: _strings(summed[name]) for name in by},
    )


def _rewards(shown: pa.Table, outcomes: pa.Table, *, kind: str, window: timedelta) -> pa.Table:
    """Return the largest outcome of each impression that falls into its window."""
    times = shown.select([*_KEYS, schema.TIMESTAMP]).rename_columns([*_KEYS, _SHOWN_AT])
    of_kind = outcomes.filter(pc.equal(outcomes[schema.KIND], kind)).select([*_KEYS, schema.VALUE, schema.TIMESTAMP])
    matched = of_kind.join(times, keys=_KEYS, join_type="inner")
    late = pc.subtract(matched[schema.TIMESTAMP], matched[_SHOWN_AT])
    in_time = matched.filter(pc.less_equal(late, pa.scalar(window, pa.duration("us"))))
    largest = in_time.group_by(_KEYS).aggregate([(schema.VALUE, "max")])
    return largest.rename_columns([*_KEYS, _REWARD])


def _metric(figures: UserFigures, rows: NDArray[np.int64], labels: dict[str, str], confidence: float) -> OnlineMetric:
    users, user = np.unique(figures.users[rows], return_inverse=True)
    shown = np.bincount(user, weights=figures.impressions[rows]).astype(np.float64)
    reward = np.bincount(user, weights=figures.reward[rows]).astype(np.float64)
    sums = moments(shown, reward)
    value = float(sums.ratio)
    has_interval = users.size >= MINIMUM_USERS
    radius = float(ndtri(0.5 + confidence / 2) * np.sqrt(ratio_variance(sums))) if has_interval else 0.0
    return OnlineMetric(
        labels=labels,
        value=value,
        lower=value - radius if has_interval else None,
        upper=value + radius if has_interval else None,
        users=int(users.size),
        impressions=int(shown.sum()),
    )


def _strings(column: pa.ChunkedArray) -> NDArray[np.str_]:
    return np.asarray(pc.fill_null(column.cast(pa.string()), "").to_numpy(), dtype=np.str_)
