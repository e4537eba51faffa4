from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from monitoring.drift._vectors import Anchors
from monitoring.drift.served import Served, ServedConfig, check_served, served_figures
from monitoring.result import OUTLIVES_MODEL, CheckResult, Status
from recmodels.data import schema
from tests.monitoring.drift.served_tables import START_DAY, serve

DAYS = 75
CONFIG = ServedConfig(learning_days=28)


def day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=START_DAY + number)


def noon(number: int) -> datetime:
    return datetime.combine(day(number), datetime.min.time(), tzinfo=UTC) + timedelta(hours=13)


def judged(tables: tuple[pa.Table, pa.Table], *, days: int = DAYS, **more: object) -> dict[str, CheckResult]:
    served = Served(*tables, as_of=noon(days - 1) + timedelta(hours=11), **more)  # type: ignore[arg-type]
    results = check_served(served, CONFIG)
    return {f"{one.figure}[{one.slice}]" if one.slice else one.figure: one for one in results}


def from_day(number: int, value: float, *, before: float = 0.0, days: int = DAYS) -> np.ndarray:
    return np.where(np.arange(days) >= number, value, before)


def test_nothing_drifts_when_every_day_is_like_the_others() -> None:
    results = judged(serve(days=DAYS))
    assert {one.status for one in results.values()} == {Status.OK}
    assert {"score_mean", "clicked_rate", "calibration", "slate_overlap", "fallback_share"} <= results.keys()
    assert "clicked_rate[surface=live]" in results


def test_scores_drift_when_they_move() -> None:
    results = judged(serve(days=DAYS, score_shift=from_day(73, 0.05)))
    assert results["score_mean"].status is Status.DRIFT
    assert results["score_mean"].family == "model"
    assert results["clicked_rate"].status is Status.OK


def test_calibration_drifts_and_the_estimate_is_untrusted_when_people_click_less_on_the_same_scores() -> None:
    results = judged(serve(days=DAYS, lists=400, click_factor=from_day(72, 0.7, before=1.0)))
    assert results["calibration"].status is Status.DRIFT
    assert results["calibration"].value == pytest.approx(0.7, abs=0.06)
    assert results["clicked_rate"].status is Status.DRIFT
    estimate = results["estimated_rate"]
    assert estimate.status is Status.OK
    assert estimate.details["is_trusted"] == 0.0
    assert "Untrusted" in estimate.message


def test_the_estimate_is_there_and_trusted_before_labels_mature() -> None:
    tables = serve(days=DAYS)
    served = Served(*tables, as_of=datetime.combine(day(DAYS - 1), datetime.min.time(), tzinfo=UTC))
    results = {one.figure: one for one in check_served(served, CONFIG) if not one.slice}
    assert results["clicked_rate"].status is Status.INSUFFICIENT
    assert results["estimated_rate"].status is Status.OK
    assert results["estimated_rate"].value == pytest.approx(0.2, abs=0.02)
    assert results["estimated_rate"].details == {
        **results["estimated_rate"].details,
        "is_estimate": 1.0,
        "is_trusted": 1.0,
    }
    assert results["estimated_rate"].message.startswith("estimate")


def test_lists_drift_when_they_turn_to_other_items() -> None:
    results = judged(serve(days=DAYS, item_shift=from_day(DAYS - 1, 30).astype(np.int64)))
    assert results["slate_overlap"].status is Status.DRIFT
    assert results["slate_overlap"].size is not None
    assert results["slate_overlap"].size < 0


def test_fallbacks_drift_in_the_family_of_serving_when_a_model_fails() -> None:
    results = judged(serve(days=DAYS, fallback=from_day(74, 0.3, before=0.01)))
    assert results["fallback_share"].status is Status.DRIFT
    assert results["fallback_share"].family == "serving"


def test_a_new_model_learns_when_it_has_served_fewer_days_than_it_needs() -> None:
    version = from_day(70, 2, before=1).astype(np.int64)
    tables = serve(days=DAYS, score_shift=from_day(70, 5.0), version=version)
    results = judged(tables, champion_days=[day(70)])
    assert results["score_mean"].status is Status.LEARNING
    assert results["fallback_share"].status is Status.OK


def test_a_new_models_level_is_its_own_and_its_spread_borrowed_when_it_has_served_two_weeks() -> None:
    version = from_day(58, 2, before=1).astype(np.int64)
    tables = serve(days=DAYS, score_shift=from_day(58, 5.0), version=version)
    results = judged(tables, champion_days=[day(58)])
    assert results["score_mean"].status is Status.OK
    assert results["score_mean"].expected == pytest.approx(5.2, abs=0.02)
    moved = serve(days=DAYS, score_shift=from_day(58, 5.0) + from_day(73, 0.05), version=version)
    assert judged(moved, champion_days=[day(58)])["score_mean"].status is Status.DRIFT


def test_canary_and_replay_are_left_out() -> None:
    impressions, outcomes = serve(days=3)
    as_canary = impressions.set_column(
        impressions.column_names.index(schema.ARM), schema.ARM, pa.repeat("canary", impressions.num_rows)
    )
    as_replay = impressions.set_column(
        impressions.column_names.index(schema.ORIGIN), schema.ORIGIN, pa.repeat("replay", impressions.num_rows)
    )
    for table in (as_canary, as_replay, impressions.slice(0, 0)):
        (result,) = check_served(Served(table, outcomes, as_of=noon(2)), CONFIG)
        assert (result.status, result.family) == (Status.INSUFFICIENT, "serving")
        assert "nothing can be said" in result.message


def test_an_outcome_counts_when_it_came_within_the_window_only() -> None:
    impressions, outcomes = serve(days=1, lists=200)
    late = outcomes.set_column(
        outcomes.column_names.index(schema.TIMESTAMP),
        schema.TIMESTAMP,
        pc.add(outcomes[schema.TIMESTAMP], pa.scalar(timedelta(hours=2), pa.duration("us"))),
    )
    rate = {
        name: served_figures(Served(impressions, table, as_of=noon(1)), CONFIG).values["clicked_rate"][0]
        for name, table in (("prompt", outcomes), ("late", late))
    }
    assert rate["prompt"] == pytest.approx(outcomes.num_rows / impressions.num_rows)
    assert rate["late"] == 0.0


def test_embeddings_drift_when_the_lists_move_to_another_corner() -> None:
    corners = np.where(np.arange(60)[:, None] < 30, [[1.0, 0.0]], [[0.0, 1.0]]).astype(np.float32)
    anchors = Anchors(np.array([f"i{number}" for number in range(60)]), corners)
    tables = serve(days=DAYS, item_shift=from_day(DAYS - 1, 30).astype(np.int64))
    results = judged(tables, anchors=anchors)
    assert results["embedding_shift"].status is Status.DRIFT
    figures = served_figures(Served(*tables, as_of=noon(DAYS), anchors=anchors), CONFIG)
    share = np.mean([int(item[1:]) < 30 for item in tables[0][schema.ITEM_ID].to_pylist()[:600]])
    assert figures.values["embedding_spread"][0] == pytest.approx(1 - share**2 - (1 - share) ** 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop_columns([schema.SCORE]), "impressions.score is gone"),
        (
            lambda table: table.set_column(
                table.column_names.index(schema.SCORE), schema.SCORE, table[schema.SCORE].cast(pa.string())
            ),
            "impressions.score was double and is string",
        ),
    ],
)
def test_a_changed_schema_is_one_result_when_no_figure_can_be_computed(change, words) -> None:
    impressions, outcomes = serve(days=3)
    (result,) = check_served(Served(change(impressions), outcomes, as_of=noon(2)), CONFIG)
    assert (result.status, result.figure) == (Status.DRIFT, "served_schema")
    assert words in result.message


def test_a_day_below_the_minimum_is_insufficient_when_the_days_before_are_not() -> None:
    impressions, outcomes = serve(days=DAYS)
    cut = impressions.num_rows - 120 * 5 + 40
    results = judged((impressions.slice(0, cut), outcomes))
    assert results["score_mean"].status is Status.INSUFFICIENT
    assert "40 rows are too few" in results["score_mean"].message
    assert not any(one.status is Status.DRIFT for one in results.values())


def test_scores_are_insufficient_when_all_of_a_day_are_missing() -> None:
    impressions, outcomes = serve(days=DAYS)
    score = impressions[schema.SCORE].to_numpy().copy()
    score[-600:] = np.nan
    place = impressions.column_names.index(schema.SCORE)
    results = judged((impressions.set_column(place, impressions.schema.field(place), pa.array(score)), outcomes))
    assert results["score_mean"].status is Status.INSUFFICIENT
    assert "no row of the day has a value" in results["score_mean"].message
    assert results["slate_overlap"].status is Status.OK


def test_nothing_fails_when_no_outcome_was_ever_recorded() -> None:
    impressions, outcomes = serve(days=5)
    served = Served(impressions, outcomes.slice(0, 0), as_of=noon(5))
    assert served_figures(served, CONFIG).values["clicked_rate"].tolist() == [0.0] * 5
    assert not any(one.status is Status.DRIFT for one in check_served(served, CONFIG))


def test_promise_of_a_new_model_is_learned_and_a_rate_outlives_the_model() -> None:
    version = from_day(70, 2, before=1).astype(np.int64)
    results = judged(serve(days=DAYS, version=version), champion_days=[day(70)])
    assert results["calibration"].status is results["estimated_rate"].status is Status.LEARNING
    assert "A new model serves" in results["calibration"].message
    assert results["clicked_rate"].details[OUTLIVES_MODEL] == 1.0
    assert results["clicked_rate[surface=live]"].details[OUTLIVES_MODEL] == 1.0
    assert OUTLIVES_MODEL not in results["score_mean"].details
    old = judged(serve(days=DAYS, fallback=from_day(74, 1.0)))
    assert old["calibration"].status is Status.INSUFFICIENT


def test_items_that_a_new_model_shows_first_are_not_taken_for_cold_ones() -> None:
    turned = np.where(np.arange(DAYS) >= 60, 30, 0)
    tables = serve(days=DAYS, version=from_day(60, 2, before=1).astype(np.int64), item_shift=turned)
    config = ServedConfig(learning_days=14, own_days=5)
    served = Served(*tables, as_of=noon(DAYS - 1) + timedelta(hours=11), champion_days=[day(60)])
    cold = served_figures(served, config).series["cold_share"].values
    assert np.isnan(cold[60:67]).all()
    assert np.isfinite(cold[67:]).all()
    (result,) = (one for one in check_served(served, config) if one.figure == "cold_share")
    assert result.status is Status.OK
