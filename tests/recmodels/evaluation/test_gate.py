"""The gate by table: one row a way to be refused, and the nearest value that passes."""

import math
from dataclasses import replace

import pytest
from pydantic import ValidationError

from recmodels.evaluation.comparison import Comparison
from recmodels.evaluation.fairness import Exposure, Fairness, Gap
from recmodels.evaluation.footprint import Footprint
from recmodels.evaluation.gate import GateConfig, decide
from recmodels.lineage import OLDER_USERS

METRICS = {"ndcg_at_10": 0.3, "recall_at_10": 0.3, "coverage_at_10": 0.5, "gini_at_10": 0.6}
CONFIG = GateConfig()
SMALL = Footprint(median_seconds=0.002, bundle_bytes=5_000_000)
EVEN = Comparison(
    metric="ndcg_at_10",
    candidate=0.3,
    baseline=0.3,
    difference=0.0,
    lower=-0.01,
    upper=0.01,
    relative=0.0,
    num_users=100,
    num_left_out=0,
    probability_better=0.5,
    confidence=0.95,
    is_same_queries=True,
)


@pytest.fixture
def candidate(make_evaluation):
    return make_evaluation([0.3] * 100, metrics=METRICS, num_queries=200)


def judge(candidate, **arguments):
    given = {"champion": None, "floor": None, "comparison": None, "config": CONFIG}
    return decide(candidate, **(given | arguments))


def test_model_passes_when_every_check_holds(candidate):
    decision = judge(candidate, champion=candidate, floor=candidate, comparison=EVEN, footprint=SMALL)
    assert decision.passed
    assert decision.reasons == ()
    assert [check.name for check in decision.checks] == [
        "finite_scores",
        "blocked_items",
        "enough_users",
        "enough_queries",
        "current_catalogue",
        "latency",
        "memory",
        "quality_floor",
        "better_than_chance",
        "popularity_floor",
        "coverage_floor",
        "coverage_against_champion",
        "same_queries",
        "not_worse_than_champion",
        "drop_within_tolerance",
    ]


def test_popularity_passes_absolute_floors_when_the_registry_is_empty(candidate):
    decision = judge(candidate)
    assert decision.passed
    assert "not_worse_than_champion" not in [check.name for check in decision.checks]


@pytest.mark.parametrize(
    ("name", "refused", "passing"),
    [
        ("finite_scores", {"non_finite": 1}, {"non_finite": 0}),
        ("blocked_items", {"blocked_shown": 1}, {"blocked_shown": 0}),
        ("enough_users", {"num_users": 19}, {"num_users": 20}),
        ("enough_queries", {"num_queries": 49}, {"num_queries": 50}),
        ("quality_floor", {"metrics": METRICS | {"ndcg_at_10": 0.0}}, {"metrics": METRICS | {"ndcg_at_10": 0.02}}),
        ("quality_floor", {"metrics": METRICS | {"ndcg_at_10": math.nan}}, {}),
        (
            "better_than_chance",
            {"metrics": METRICS | {"ndcg_at_10": 0.0199}},
            {"metrics": METRICS | {"ndcg_at_10": 0.02}},
        ),
    ],
)
def test_absolute_checks_refuse_when_the_figure_is_just_beyond(candidate, name, refused, passing):
    decision = judge(replace(candidate, **refused))
    assert not decision.passed
    assert name in decision.refused_by
    assert judge(replace(candidate, **passing)).passed


@pytest.mark.parametrize(("value", "passes"), [(0.1, True), (0.0999, False)])
def test_popularity_floor_refuses_when_less_than_half_of_popularity_is_reached(candidate, value, passes):
    popular = replace(candidate, metrics=METRICS | {"ndcg_at_10": 0.2})
    decision = judge(replace(candidate, metrics=METRICS | {"ndcg_at_10": value}), floor=popular)
    assert decision.passed is passes
    assert decision.refused_by == (() if passes else ("popularity_floor",))


def test_swapped_ids_are_refused_by_name_when_the_order_is_random(candidate):
    swapped = replace(candidate, metrics=METRICS | {"ndcg_at_10": 0.011})
    decision = judge(swapped, floor=candidate)
    assert decision.refused_by == ("better_than_chance", "popularity_floor")
    assert "broken ids" in decision.reasons[0]


@pytest.mark.parametrize(
    ("champion_misses", "floor_misses", "misses", "passes"),
    [
        (0.25, 0.25, 0.3, True),
        (0.25, 0.25, 0.3001, False),
        (0.5, 0.25, 0.3001, False),
        (0.125, 0.25, 0.1876, False),
        (0.5, None, 0.55, True),
        (0.5, None, 0.5501, False),
        (None, None, 1.0, True),
    ],
)
def test_an_old_catalogue_is_refused_when_it_misses_more_than_the_references(
    candidate, champion_misses, floor_misses, misses, passes
):
    champion, floor = (
        None if share is None else replace(candidate, missing_target_share=share)
        for share in (champion_misses, floor_misses)
    )
    comparison = EVEN if champion else None
    decision = judge(
        replace(candidate, missing_target_share=misses), champion=champion, floor=floor, comparison=comparison
    )
    assert decision.refused_by == (() if passes else ("current_catalogue",))


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        ({"median_seconds": 0.1}, ()),
        ({"median_seconds": 0.1001}, ("latency",)),
        ({"median_seconds": math.nan}, ("latency",)),
        ({"bundle_bytes": 4 * 2**30}, ()),
        ({"bundle_bytes": 4 * 2**30 + 1}, ("memory",)),
    ],
)
def test_a_costly_model_is_refused_when_its_footprint_is_beyond_the_limits(candidate, change, refused_by):
    assert judge(candidate, footprint=replace(SMALL, **change)).refused_by == refused_by


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        ({"upper": -1e-9, "lower": -0.02, "difference": -0.01}, ("not_worse_than_champion",)),
        ({"upper": 0.0, "lower": -0.02, "difference": -0.01}, ()),
        ({"upper": math.nan}, ("not_worse_than_champion",)),
        ({"relative": -0.1001}, ("drop_within_tolerance",)),
        ({"relative": -0.1}, ()),
        ({"upper": -0.01, "relative": -0.2}, ("not_worse_than_champion", "drop_within_tolerance")),
        ({"is_same_queries": False}, ("same_queries",)),
    ],
)
def test_champion_checks_refuse_when_the_comparison_is_against_the_candidate(candidate, change, refused_by):
    decision = judge(candidate, champion=candidate, comparison=replace(EVEN, **change))
    assert decision.refused_by == refused_by


@pytest.mark.parametrize(("coverage", "passes"), [(0.25, True), (0.2499, False)])
def test_coverage_refuses_when_it_is_below_half_of_the_champions(candidate, coverage, passes):
    narrow = replace(candidate, metrics=METRICS | {"coverage_at_10": coverage})
    decision = judge(narrow, champion=candidate, comparison=EVEN)
    assert decision.refused_by == (() if passes else ("coverage_against_champion",))


@pytest.mark.parametrize(("minimum", "passes"), [(0.5, True), (0.5001, False)])
def test_absolute_coverage_refuses_when_it_is_below_the_floor(candidate, minimum, passes):
    assert judge(candidate, config=GateConfig(minimum_coverage=minimum)).passed is passes


@pytest.mark.parametrize(("maximum", "passes"), [(0.6, True), (0.5999, False)])
def test_gini_refuses_when_a_ceiling_is_set_and_passed(candidate, maximum, passes):
    decision = judge(candidate, config=GateConfig(maximum_gini=maximum))
    assert decision.refused_by == (() if passes else ("gini_ceiling",))


@pytest.mark.parametrize(
    ("kinds", "name", "users", "upper", "refused"),
    [
        (("user",), "user=new", 50, -0.001, True),
        (("user",), "user=new", 50, 0.0, False),
        (("user",), "user=new", 49, -0.001, False),
        (("user",), "surface=live", 50, -0.001, False),
        (("user", "surface"), "surface=live", 50, -0.001, True),
        (("surface",), "item=head", 50, -0.001, False),
    ],
)
def test_slice_refuses_when_enough_of_its_users_lose_significantly(candidate, kinds, name, users, upper, refused):
    part = replace(EVEN, num_users=users, upper=upper, lower=-0.1)
    config = GateConfig(slice_kinds=kinds)
    decision = judge(candidate, champion=candidate, comparison=replace(EVEN, slices={name: part}), config=config)
    assert decision.refused_by == ((f"slice {name}",) if refused else ())


def test_message_says_what_was_seen_required_and_what_to_do_when_refused(candidate):
    decision = judge(replace(candidate, num_users=7))
    assert decision.reasons == (
        "enough_users: test users: 7, must be at least 20. Lengthen the test part, or bring more data.",
    )
    check = next(check for check in decision.checks if not check.passed)
    assert (check.observed, check.threshold) == (7, 20)


def test_another_metric_is_judged_when_the_configuration_names_it(candidate):
    low = replace(candidate, metrics=METRICS | {"recall_at_10": 0.015})
    assert judge(low).passed
    assert judge(low, config=GateConfig(metric="recall_at_10")).refused_by == ("better_than_chance",)


def test_gate_raises_when_a_champion_comes_without_a_comparison(candidate):
    with pytest.raises(ValueError, match="a champion but no comparison"):
        judge(candidate, champion=candidate)


def test_gate_raises_when_the_comparison_is_of_another_metric(candidate):
    with pytest.raises(ValueError, match="comparison is of 'recall_at_10' but the gate reads 'ndcg_at_10'"):
        judge(candidate, champion=candidate, comparison=replace(EVEN, metric="recall_at_10"))


def test_gate_raises_when_the_evaluation_lacks_the_metric(candidate):
    with pytest.raises(ValueError, match="reads 'ndcg_at_20', which the candidate lacks; it has coverage_at_10"):
        judge(candidate, config=GateConfig(metric="ndcg_at_20"))


@pytest.mark.parametrize("field", [{"minimum_users": 1}, {"maximum_relative_drop": 1.5}, {"min_users": 5}])
def test_configuration_is_refused_when_a_field_is_unknown_or_out_of_range(field):
    with pytest.raises(ValidationError):
        GateConfig(**field)


@pytest.mark.parametrize(
    ("upper", "users", "passed"),
    [
        (-0.016, 100, False),  # 5 % of 0.3 is 0.015
        (-0.015, 100, True),
        (-0.2, 49, True),  # too few to tell
    ],
)
def test_forgetting_refuses_when_the_whole_interval_is_beyond_the_margin(candidate, upper, users, passed):
    older = replace(EVEN, candidate=0.27, difference=-0.03, lower=-0.3, upper=upper, num_users=users)
    decision = judge(candidate, champion=candidate, comparison=replace(EVEN, slices={OLDER_USERS: older}))
    (check,) = [check for check in decision.checks if check.name == "forgetting"]
    assert check.passed == passed == decision.passed
    assert check.threshold == pytest.approx(-0.015)
    assert "slice user=older" not in [one.name for one in decision.checks]  # a loss within the margin is let through
    assert ("not judged, 50 users are asked for" in check.message) == (users < 50)


def test_forgetting_is_not_asked_when_nothing_was_gone_on_from(candidate):
    decision = judge(candidate, champion=candidate, comparison=EVEN)
    assert "forgetting" not in [check.name for check in decision.checks]


@pytest.mark.parametrize(
    ("field", "metric", "value", "refused_by"),
    [
        ("minimum_diversity", "diversity_at_10", 0.5, "diversity_floor"),
        ("minimum_distance", "distance_at_10", 0.5, "distance_floor"),
        ("maximum_creator_gini", "creator_gini_at_10", 0.5, "creator_gini_ceiling"),
    ],
)
def test_what_re_ranking_is_for_is_judged_when_the_configuration_asks(candidate, field, metric, value, refused_by):
    measured = replace(candidate, metrics=candidate.metrics | {metric: value})
    beyond = 0.4 if field.startswith("maximum") else 0.6
    assert judge(measured, config=GateConfig(**{field: value})).passed
    assert judge(measured, config=GateConfig(**{field: beyond})).refused_by == (refused_by,)
    lacking = replace(candidate, metrics={name: one for name, one in candidate.metrics.items() if name != metric})
    with pytest.raises(ValueError, match=f"the gate reads '{metric}', which the candidate lacks"):
        judge(lacking, config=GateConfig(**{field: value}))


GAP = Gap("ndcg_at_10", "activity=heavy", "activity=light", 0.4, 0.2, 0.2, lower=0.1, upper=0.3, num_groups=3)
FAIRNESS = Fairness(10, {"creators=small": Exposure(0.05, 0.04, 0.06, 0.1, 0.5)}, {"activity": GAP})


@pytest.mark.parametrize(
    ("limits", "refused_by"),
    [
        ({"maximum_group_gap": 0.25}, ()),  # the lower end is 0.1 of 0.4
        ({"maximum_group_gap": 0.24}, ("gap activity",)),
        ({"maximum_group_gap": 0.24, "gap_kinds": ("age",)}, ()),
        ({"maximum_popularity_lift": 1.5}, ()),
        ({"maximum_popularity_lift": 1.4}, ("popularity_lift",)),
        ({"maximum_calibration_kl": 0.7}, ()),
        ({"maximum_calibration_kl": 0.6}, ("calibration",)),
        ({"minimum_small_creator_exposure": 0.5}, ()),
        ({"minimum_small_creator_exposure": 0.51}, ("small_creator_exposure",)),
        ({"minimum_new_item_exposure": 0.9}, ()),
    ],
)
def test_limits_of_fairness_refuse_when_they_are_set_and_passed(candidate, limits, refused_by):
    figures = METRICS | {"popularity_lift_at_10": 1.5, "calibration_kl_at_10": 0.7}
    decision = judge(replace(candidate, metrics=figures, fairness=FAIRNESS), config=GateConfig(**limits))
    assert decision.refused_by == refused_by


def test_a_limit_says_that_it_was_not_judged_when_nothing_was_measured(candidate):
    decision = judge(candidate, config=GateConfig(minimum_new_item_exposure=0.9))
    (check,) = (check for check in decision.checks if check.name == "new_item_exposure")
    assert check.passed
    assert "not judged" in check.message
