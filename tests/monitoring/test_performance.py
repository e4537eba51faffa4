from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from monitoring.performance import UserFigures, online_metrics, user_figures
from recmodels.data import schema

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _figures(users, impressions, reward, **labels):
    return UserFigures(
        users=np.array(users),
        impressions=np.array(impressions, dtype=float),
        reward=np.array(reward, dtype=float),
        labels={name: np.array(values) for name, values in labels.items()},
    )


def test_metric_and_interval_are_those_worked_by_hand():
    (metric,) = online_metrics(_figures(["a", "b", "c"], [1, 3, 2], [1, 1, 1]))
    # ratio 3/6, delta-method variance 1/48
    radius = stats.norm.ppf(0.975) * float(Fraction(1, 48)) ** 0.5
    assert (metric.value, metric.users, metric.impressions, metric.labels) == (0.5, 3, 6, {})
    assert metric.lower == pytest.approx(0.5 - radius)
    assert metric.upper == pytest.approx(0.5 + radius)


def test_users_count_once_when_they_have_several_rows():
    split = online_metrics(_figures(["a", "b", "a", "c", "b"], [1, 1, 0, 2, 2], [1, 0, 0, 1, 1]))
    assert split == online_metrics(_figures(["a", "b", "c"], [1, 3, 2], [1, 1, 1]))


def test_groups_are_the_combinations_that_have_impressions():
    figures = _figures(
        ["a", "b", "a", "c", "d"],
        [2, 2, 4, 5, 0],
        [1, 0, 2, 5, 0],
        arm=["canary", "control", "canary", "control", "rest"],
        surface=["video", "video", "live", "video", "video"],
    )
    found = {(m.labels["arm"], m.labels["surface"]): m for m in online_metrics(figures, by=("arm", "surface"))}
    assert list(found) == [("canary", "live"), ("canary", "video"), ("control", "video")]
    assert found["control", "video"].value == pytest.approx(5 / 7)
    assert found["control", "video"].users == 2
    assert online_metrics(figures, by=("arm",))[0].value == 0.5


def test_no_interval_is_given_when_there_is_one_user():
    (metric,) = online_metrics(_figures(["a"], [4], [1]))
    assert (metric.value, metric.lower, metric.upper) == (0.25, None, None)


def test_no_metric_is_given_when_nothing_was_shown():
    assert online_metrics(_figures([], [], []), by=()) == ()
    assert online_metrics(_figures(["a"], [0], [0], arm=["rest"]), by=("arm",)) == ()


def test_refused_when_a_label_is_unknown():
    with pytest.raises(ValueError, match=r"labels \['hour'\] are not known. Known: arm"):
        online_metrics(_figures(["a"], [1], [0], arm=["rest"]), by=("hour",))


def test_interval_covers_the_truth_about_as_often_as_stated():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(150):
        shown = 1.0 + rng.poisson(4.0, 2_000)
        clicks = rng.binomial(shown.astype(int), rng.beta(0.5, 4.5, 2_000)).astype(float)
        (metric,) = online_metrics(_figures(np.arange(2_000).astype(str), shown, clicks))
        covered += metric.lower <= 0.1 <= metric.upper
    assert 0.91 <= covered / 150 <= 0.99


def _impressions(rows):
    """Rows of (request, user, item, minutes before noon, version, arm)."""
    base = {
        schema.SURFACE: "video",
        schema.POSITION: 0,
        schema.PROPENSITY: 1.0,
        schema.IS_FALLBACK: False,
        schema.LATENCY_SECONDS: 0.01,
        schema.ORIGIN: schema.ORIGIN_EVENT,
    }
    names = (schema.REQUEST_ID, schema.USER_KEY, schema.ITEM_ID, schema.TIMESTAMP, schema.MODEL_VERSION, schema.ARM)
    dated = [(*row[:3], NOON - timedelta(minutes=row[3]), *row[4:]) for row in rows]
    return pa.Table.from_pylist([base | dict(zip(names, row, strict=True)) for row in dated], schema.IMPRESSIONS)


def _outcomes(rows):
    """Rows of (request, item, kind, value, minutes before noon)."""
    names = (schema.REQUEST_ID, schema.ITEM_ID, schema.KIND, schema.VALUE, schema.TIMESTAMP)
    dated = [(*row[:4], NOON - timedelta(minutes=row[4])) for row in rows]
    records = [{schema.EVENT_ID: str(i)} | dict(zip(names, row, strict=True)) for i, row in enumerate(dated)]
    return pa.Table.from_pylist(records, schema.OUTCOMES)


def _by_user(figures):
    return {
        (user, arm): (shown, reward)
        for user, arm, shown, reward in zip(
            figures.users, figures.labels["arm"], figures.impressions, figures.reward, strict=True
        )
    }


def test_impressions_meet_their_outcomes_when_matured():
    impressions = _impressions(
        [
            ("r1", "ann", "i1", 60, "3", "canary"),
            ("r1", "ann", "i2", 60, "3", "canary"),
            ("r2", "bob", "i1", 30, "2", "control"),  # matures at noon exactly
            ("r3", "bob", "i1", 29, "2", "control"),  # has not matured
        ]
    )
    outcomes = _outcomes(
        [
            ("r1", "i2", "clicked", 1.0, 59),
            ("r1", "i2", "clicked", 1.0, 58),  # the same click twice
            ("r1", "i1", "clicked", 1.0, 29),  # after the label window
            ("r1", "i1", "liked", 1.0, 59),  # another kind
            ("r2", "i1", "clicked", 1.0, 0),  # at the window's end
            ("r3", "i1", "clicked", 1.0, 20),
        ]
    )
    found = user_figures(impressions, outcomes, kind="clicked", as_of=NOON, label_window_seconds=1800)
    assert _by_user(found) == {("ann", "canary"): (2.0, 1.0), ("bob", "control"): (1.0, 1.0)}
    assert set(found.labels) == {"model_version", "arm", "surface"}


def test_nothing_is_found_when_there_are_no_impressions():
    found = user_figures(_impressions([]), _outcomes([]), kind="clicked", as_of=NOON, label_window_seconds=1800)
    assert online_metrics(found, by=("arm",)) == ()


def test_reward_is_zero_when_no_outcome_came():
    impressions = _impressions([("r1", "ann", "i1", 60, "3", "canary")])
    found = user_figures(impressions, _outcomes([]), kind="clicked", as_of=NOON, label_window_seconds=1800, by=("arm",))
    assert _by_user(found) == {("ann", "canary"): (1.0, 0.0)}
