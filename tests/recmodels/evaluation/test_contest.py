from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recmodels.errors import DataError
from recmodels.evaluation import plots
from recmodels.evaluation.comparison import NOT_DISTINGUISHABLE, compare, compare_all
from recmodels.evaluation.contest import Contender, contest
from recmodels.recipe import override

RULES = {"samples": 300, "confidence": 0.95, "seed": 0}


@pytest.fixture
def contender(recipe, make_evaluation):
    def make(values, name="new", snapshot="aaaa", settings=(), **fields):
        return Contender(name, make_evaluation(values, **fields), override(recipe, list(settings)), snapshot)

    return make


def with_metrics(evaluation, **columns):
    table = evaluation.per_user
    for name, values in columns.items():
        table = table.append_column(name, [values])
    evaluation.per_user.validate()
    return type(evaluation)(**(vars(evaluation) | {"per_user": table}))


def test_verdict_names_both_models_when_one_is_better(contender):
    users = np.linspace(0.2, 0.4, 40)
    found = contest(contender(users + 0.1), contender(users, "old"), **RULES)
    assert found.words.startswith("new is better than old: ndcg_at_10 0.4000 against 0.3000, +0.1000 (+33.3%)")
    assert found.words.endswith("40 users.")
    assert contest(contender(users, "old"), contender(users + 0.1), **RULES).words.startswith("old is worse than new")
    assert (
        "old cannot be told apart from old" in contest(contender(users, "old"), contender(users, "old"), **RULES).words
    )


def test_every_metric_of_both_is_compared_with_the_same_draws_when_none_is_named(make_evaluation):
    rng = np.random.default_rng(5)
    first, second = (
        with_metrics(make_evaluation(rng.random(60)), recall_at_10=rng.random(60), own=rng.random(60)) for _ in range(2)
    )
    second = type(second)(**(vars(second) | {"per_user": second.per_user.drop_columns(["own"])}))
    found = compare_all(first, second, **RULES)
    assert list(found) == ["ndcg_at_10", "recall_at_10"]
    for name, one in found.items():
        alone = compare(first, second, metric=name, **RULES)
        assert (one.lower, one.upper, one.difference) == pytest.approx((alone.lower, alone.upper, alone.difference))


def test_a_metric_is_left_out_when_no_common_user_has_it(make_evaluation):
    first, second = (with_metrics(make_evaluation([0.1, 0.2]), diversity_at_10=[np.nan, v]) for v in (np.nan, 0.5))
    assert list(compare_all(first, second, **RULES)) == ["ndcg_at_10"]
    with pytest.raises(ValueError, match="no user has diversity_at_10 in both"):
        compare(first, second, metric="diversity_at_10", **RULES)


def test_users_without_a_value_are_left_out_of_their_metric_alone(make_evaluation):
    first = with_metrics(make_evaluation([0.1, 0.2, 0.3]), diversity_at_10=[np.nan, 0.5, 0.7])
    second = with_metrics(make_evaluation([0.1, 0.1, 0.1]), diversity_at_10=[0.2, 0.5, 0.5])
    found = compare_all(first, second, **RULES)
    assert (found["ndcg_at_10"].num_users, found["diversity_at_10"].num_users) == (3, 2)
    assert found["diversity_at_10"].difference == pytest.approx(0.1)
    assert found["diversity_at_10"].verdict == NOT_DISTINGUISHABLE


def test_what_differs_is_said_when_the_queries_are_not_the_same(contender):
    other = contender(
        {"ann": 0.1, "zoe": 0.2},
        "old",
        snapshot="bbbb",
        settings=["data.label=clicked", "split.test_fraction=0.3", "evaluation.remove_seen=false", "seed=4"],
        queries_digest="others",
    )
    with pytest.raises(DataError) as refused:
        contest(contender({"ann": 0.1, "bob": 0.2, "cleo": 0.3}), other, **RULES)
    words = str(refused.value)
    for part in (
        "new and old were not judged on the same queries",
        "snapshot aaaa against bbbb",
        "label is 'any' against 'clicked'",
        "test_fraction is 0.2 against 0.3",
        "remove_seen is True against False",
        "3 users and 100 queries against 2 and 100, 1 users in common",
    ):
        assert part in words
    assert "seed" not in words


def test_the_metric_of_the_gate_decides_when_none_is_named(contender):
    found = contest(contender([0.1, 0.3]), contender([0.1, 0.2]), **RULES)
    assert found.metric == "ndcg_at_10"
    with pytest.raises(DataError, match="new has no value of 'gini_at_10' for each user"):
        contest(contender([0.1]), contender([0.1]), metric="gini_at_10", **RULES)


def test_figures_of_all_lists_stand_beside_when_both_have_them(contender):
    found = contest(contender([0.1, 0.3]), contender([0.1, 0.2]), **RULES)
    assert found.without_interval == {
        "coverage_at_10": (0.5, 0.5),
        "gini_at_10": (0.6, 0.6),
        "recall_at_10": pytest.approx((0.2, 0.15)),
    }


def test_cautions_say_why_a_verdict_is_weak(contender):
    weak = contender([0.1, 0.3], settings=["split.kind=leave_one_out"], non_finite=3, missing_target_share=0.4)
    cautions = contest(weak, contender([0.1, 0.2], "old"), **RULES).cautions
    assert [words.split(":")[0][:22] for words in cautions] == [
        "only 2 users",
        "new answered 3 queries",
        "leave-one-out looks in",
        "40.0% of the targets a",
    ]
    users = np.linspace(0.2, 0.4, 40)
    assert contest(contender(users), contender(users, "old"), **RULES).cautions == ()
    few = {"user=new": {"u0000": 0.2, "u0001": 0.3}}
    sliced = contest(contender(users, slices=few), contender(users, "old", slices=few), **RULES)
    assert sliced.cautions == ("few users in user=new (2): an interval of so few covers less than it says",)


def test_a_model_is_named_when_it_has_learned_from_the_test_part(contender):
    users, cut = np.linspace(0.2, 0.4, 40), datetime(2026, 3, 1, tzinfo=UTC)
    honest = replace(contender(users, "old"), learned_until=cut - timedelta(days=2), judged_from=cut)
    knowing = replace(contender(users), learned_until=cut + timedelta(days=2), judged_from=cut)
    (caution,) = contest(knowing, honest, **RULES).cautions
    assert caution.startswith("new has learned from events up to 2026-03-03 00:00, but the test part begins 2026-03-01")


def test_picture_is_the_same_file_for_the_same_contest_and_another_for_another(contender, tmp_path):
    users = np.linspace(0.2, 0.4, 40)
    known = {f"u{n:04}": value for n, value in enumerate(users)}
    parts = {"user=known": known}
    for name, gain in (("a", 0.1), ("b", 0.1), ("c", 0.2)):
        better = contender({user: value + gain for user, value in known.items()}, slices=parts)
        plots.intervals_of_contest(contest(better, contender(known, "old", slices=parts), **RULES), tmp_path / name)
    drawn = [(tmp_path / name).read_bytes() for name in "abc"]
    assert drawn[0] == drawn[1] != drawn[2]


def test_picture_is_drawn_when_one_is_a_hundred_times_better(contender, tmp_path):
    found = contest(contender([0.5, 0.6]), contender([0.005, 0.005]), **RULES)
    plots.intervals_of_contest(found, tmp_path / "far.png")
    assert (tmp_path / "far.png").stat().st_size > 1000


def test_picture_is_drawn_when_the_baseline_is_zero(contender, tmp_path):
    plots.intervals_of_contest(contest(contender([0.1, 0.2]), contender([0.0, 0.0]), **RULES), tmp_path / "zero.png")
    assert (tmp_path / "zero.png").stat().st_size > 1000
