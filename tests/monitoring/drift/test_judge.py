from datetime import UTC, date, datetime

import numpy as np
import pytest

from monitoring.drift.judge import DriftConfig, check_figures, judge_figures
from monitoring.drift.series import Figures, Scale, Series
from monitoring.result import Status

DAYS = np.arange(20_000, 20_064).astype("datetime64[D]")  # 2024-10-04 to 2024-12-06


def figures(**values) -> Figures:
    count = len(DAYS)
    rows = np.full(count, 1000.0)
    series = {
        "rating_mean": Series("rating_mean", "data", Scale.LEVEL, np.full(count, 3.5), rows, about="mean rating"),
        "volume": Series("volume", "population", Scale.AMOUNT, rows.copy(), rows, about="rows a day", is_volume=True),
    }
    wobble = np.tile([0.1, -0.1], count // 2)
    series["rating_mean"].values[:] += wobble
    for name, (day, value) in values.items():
        series[name].values[day] = value
    return Figures(DAYS, rows.astype(np.int64), np.full(count, 50), np.full(count, 30.0), series)


def result_of(results, name):
    return next(result for result in results if result.figure == name)


def test_figure_is_ok_when_nothing_happens():
    results = check_figures(figures())
    assert {result.status for result in results} == {Status.OK}
    assert "+0.0" in result_of(results, "volume").message
    assert result_of(results, "rating_mean").expected == pytest.approx(3.5)


def test_finding_is_the_message_in_parts_when_a_figure_drifts():
    results = check_figures(figures(rating_mean=(-1, 7.0)))
    drifted, calm = result_of(results, "rating_mean"), result_of(results, "volume")
    assert drifted.finding is not None
    assert drifted.finding.seen.endswith("since 2024-12-06.")
    assert drifted.finding.cause.startswith("the data: a changed unit")
    assert drifted.finding.action == (
        "Compare the last ingest with the one before; do not retrain on these days until it is explained."
    )
    assert drifted.message == (
        f"{drifted.finding.seen} Likely cause: {drifted.finding.cause}. Proposed: {drifted.finding.action}"
    )
    assert calm.finding is None


def test_figure_is_learning_when_its_history_is_short():
    results = check_figures(figures(), DriftConfig(learning_days=80))
    assert {result.status for result in results} == {Status.LEARNING}
    assert result_of(results, "rating_mean").expected is None
    assert result_of(results, "rating_mean").size is None


def test_incident_says_what_moved_by_how_much_and_since_when():
    result = result_of(check_figures(figures(rating_mean=(slice(-2, None), 7.0))), "rating_mean")
    assert result.status is Status.DRIFT
    assert result.value == 7.0
    assert result.since == datetime(2024, 12, 5, tzinfo=UTC)
    assert result.size == pytest.approx(3.5 / (0.1 * np.sqrt(56 / 54)), rel=0.01)
    for words in ("mean rating: 7, expected 3.5", "since 2024-12-05", "unit", "do not retrain"):
        assert words in result.message


def test_share_is_told_in_percent_when_it_drifts():
    count = len(DAYS)
    shares = np.full(count, 0.01)
    shares[-1] = 0.05
    one = Series("n", "data", Scale.SHARE, shares, np.full(count, 10_000.0), about="share of rows without x")
    data = Figures(DAYS, np.full(count, 10_000), np.full(count, 50), np.full(count, 30.0), {"n": one})
    result = check_figures(data)[0]
    assert result.status is Status.DRIFT
    assert "5.00%, expected 1.00%" in result.message
    assert result.expected == pytest.approx(0.01, rel=0.01)


def test_figure_is_insufficient_when_the_day_has_few_rows_or_users():
    data = figures(rating_mean=(-1, 9.0))
    for config in (DriftConfig(minimum_rows=1001), DriftConfig(minimum_users=51)):
        results = check_figures(data, config)
        assert result_of(results, "rating_mean").status is Status.INSUFFICIENT
        assert "too few" in result_of(results, "rating_mean").message
        assert result_of(results, "volume").status is Status.OK


def test_figure_is_insufficient_when_the_day_is_all_null():
    result = result_of(check_figures(figures(rating_mean=(-1, np.nan))), "rating_mean")
    assert result.status is Status.INSUFFICIENT
    assert result.value is None


def test_volume_alone_is_insufficient_when_the_day_still_runs():
    data = figures(volume=(-1, 10.0))
    assert result_of(check_figures(data), "volume").status is Status.DRIFT
    partial = check_figures(data, is_last_day_partial=True)
    assert result_of(partial, "volume").status is Status.INSUFFICIENT
    assert "still runs" in result_of(partial, "volume").message
    assert result_of(partial, "rating_mean").status is Status.OK


def test_figure_learns_anew_when_a_person_accepts_its_new_level():
    data = figures(rating_mean=(slice(-10, None), 7.0))
    assert result_of(check_figures(data), "rating_mean").status is Status.DRIFT
    config = DriftConfig(relearn_from={"rating_mean": date(2024, 11, 27)})
    assert result_of(check_figures(data, config), "rating_mean").status is Status.LEARNING
    assert result_of(check_figures(data, config), "volume").status is Status.OK


def test_results_of_a_past_day_are_those_of_that_day():
    judged = judge_figures(figures(rating_mean=(60, 9.0)), DriftConfig())
    assert result_of(judged.results(59), "rating_mean").status is Status.OK
    assert result_of(judged.results(60), "rating_mean").status is Status.DRIFT
    assert result_of(judged.results(), "rating_mean").status is Status.OK


def test_slice_stands_in_the_result_when_the_figure_has_one():
    one = Series("m", "data", Scale.LEVEL, np.full(len(DAYS), 1.0), np.full(len(DAYS), 10.0), slice="surface=live")
    rows = np.full(len(DAYS), 10)
    result = check_figures(Figures(DAYS, rows, rows, rows.astype(np.float64), {one.key: one}))[0]
    assert result.slice == "surface=live"
    assert "surface=live" in result.message
