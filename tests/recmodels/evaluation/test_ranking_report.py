import numpy as np
import pytest

from recmodels.data.histories import Histories
from recmodels.evaluation.ranking_metrics import auc, grouped_auc
from recmodels.evaluation.ranking_report import ALL_SURFACES, compare_gauc, judge_ranking
from recmodels.ranking.examples import Examples, FeatureSpec


def examples_of(labels, users, surfaces):
    rows = len(users)
    spec = FeatureSpec((), (), (), ("other", "video", "live"), ("clicked", "liked"), 2, 5)
    return Examples(
        spec=spec,
        items=np.ones(rows, np.int32),
        histories=Histories.from_lists([[]] * rows),
        categorical=np.zeros((rows, 0), np.int32),
        numeric=np.zeros((rows, 0), np.float32),
        surfaces=surfaces.astype(np.int32),
        users=users.astype(np.int32),
        timestamps=np.arange(rows),
        labels=labels.astype(np.float32),
        watch_seconds=np.arange(rows, dtype=np.float32),
        duration_seconds=np.full(rows, 60, np.float32),
    )


@pytest.fixture
def judged():
    """Return exposures of two labels, and the chances that they were drawn from."""
    rng = np.random.default_rng(8)
    users, chances = rng.integers(0, 120, 3000), rng.random((3000, 2)) * [0.9, 0.3]
    return examples_of(rng.random((3000, 2)) < chances, users, rng.integers(0, 3, 3000)), chances


def test_figures_are_of_all_surfaces_and_of_each_when_a_ranker_is_judged(judged):
    examples, chances = judged
    figures = judge_ranking(examples, chances, watch=np.arange(3000.0))
    assert [(head.surface, head.task) for head in figures.heads[:3]] == [
        (ALL_SURFACES, "clicked"),
        (ALL_SURFACES, "liked"),
        ("other", "clicked"),
    ]
    live = next(head for head in figures.heads if (head.surface, head.task) == ("live", "liked"))
    rows = np.flatnonzero(examples.surfaces == 2)
    assert live.auc == auc(examples.labels[rows, 1], chances[rows, 1])
    assert live.gauc == grouped_auc(examples.labels[rows, 1], chances[rows, 1], examples.users[rows]).mean
    assert (live.rows, live.positives) == (len(rows), examples.labels[rows, 1].sum())
    metrics = figures.metrics()
    assert metrics["live_liked_auc"] == live.auc
    assert metrics["watch_mae"] == 0.0
    assert metrics["watch_xauc"] == 1.0
    assert metrics["clicked_ece"] < 0.03
    assert metrics["mean_gauc"] == pytest.approx(np.mean([metrics["clicked_gauc"], metrics["liked_gauc"]]))


def test_a_figure_is_left_out_when_no_row_has_the_label(judged):
    examples, chances = judged
    labels = examples.labels.copy()
    labels[:, 1] = np.nan
    metrics = judge_ranking(examples_of(labels, examples.users, examples.surfaces), chances).metrics()
    assert "liked_auc" not in metrics
    assert metrics["mean_gauc"] == metrics["clicked_gauc"]


def test_the_difference_is_resampled_over_users_when_two_rankers_are_compared(judged):
    examples, chances = judged
    worse = chances + np.random.default_rng(9).normal(size=chances.shape)
    found = compare_gauc(examples, chances, worse, by_surface=False, samples=400, confidence=0.95, seed=1)
    assert [(cell.surface, cell.task) for cell in found.cells] == [(ALL_SURFACES, "clicked"), (ALL_SURFACES, "liked")]
    assert found.overall.verdict == "better"
    assert found.overall.difference == pytest.approx(
        np.mean([cell.candidate - cell.baseline for cell in found.cells]), abs=1e-12
    )
    drawn = resampled_by_hand(examples, chances, worse)
    assert found.overall.lower == pytest.approx(np.quantile(drawn, 0.025), abs=0.01)
    assert found.overall.upper == pytest.approx(np.quantile(drawn, 0.975), abs=0.01)


def resampled_by_hand(examples, one, other, samples=400):
    """Draw whole users and count from the beginning."""
    rng = np.random.default_rng(77)
    tasks = range(2)
    groups = [[grouped_auc(examples.labels[:, t], s[:, t], examples.users) for s in (one, other)] for t in tasks]
    values = []
    for _ in range(samples):
        times = np.bincount(rng.integers(0, 120, 120), minlength=120)
        gains = [
            np.average(a.values, weights=a.exposures * times[a.users])
            - np.average(b.values, weights=b.exposures * times[b.users])
            for a, b in groups
        ]
        values.append(np.mean(gains))
    return values


def test_a_ranker_is_not_better_than_itself_when_compared_by_surface(judged):
    examples, chances = judged
    found = compare_gauc(examples, chances, chances, by_surface=True, samples=50, confidence=0.95, seed=1)
    assert {cell.surface for cell in found.cells} == {"video", "live"}
    assert found.overall.verdict == "not distinguishable"
    assert (found.overall.difference, found.overall.probability_better) == (0.0, 0.5)


def test_what_cannot_be_judged_is_refused_when_it_is_given(judged):
    examples, chances = judged
    with pytest.raises(ValueError, match=r"shape \(3000, 1\) do not fit 3000 exposures"):
        judge_ranking(examples, chances[:, :1])
    with pytest.raises(ValueError, match="no task has 500 users"):
        compare_gauc(examples, chances, chances, by_surface=False, samples=5, confidence=0.9, seed=1, minimum_users=500)
