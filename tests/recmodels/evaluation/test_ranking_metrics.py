from fractions import Fraction

import numpy as np
import pytest

from recmodels.evaluation.ranking_metrics import (
    auc,
    grouped_auc,
    log_loss,
    mean_absolute_error,
    reliability,
    xauc,
)


@pytest.fixture
def predictions():
    """Return labels and scores with many ties."""
    rng = np.random.default_rng(5)
    labels = (rng.random(700) < 0.3).astype(np.float64)
    scores = np.round(0.3 * labels + rng.random(700) * 0.7, 2)
    return labels, scores


def test_auc_and_log_loss_are_those_of_scikit_learn_when_scores_are_tied(predictions):
    from sklearn.metrics import log_loss as their_log_loss
    from sklearn.metrics import roc_auc_score

    labels, scores = predictions
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert log_loss(labels, scores) == pytest.approx(their_log_loss(labels, scores), abs=1e-12)
    certain = np.concatenate([[0.0, 1.0], scores])
    wrong = np.concatenate([[1.0, 0.0], labels])
    assert log_loss(wrong, certain) == pytest.approx(their_log_loss(wrong, certain), abs=1e-12)


def test_gauc_is_the_mean_of_users_auc_by_exposures_when_some_have_one_label_only(predictions):
    from sklearn.metrics import roc_auc_score

    labels, scores = predictions
    users = np.random.default_rng(6).integers(0, 150, len(labels)) * 7
    found = grouped_auc(labels, scores, users)
    expected = {}
    for user in np.unique(users):
        rows = users == user
        if 0 < labels[rows].sum() < rows.sum():
            expected[user] = (roc_auc_score(labels[rows], scores[rows]), rows.sum())
    assert found.users.tolist() == list(expected)
    np.testing.assert_allclose(found.values, [value for value, _ in expected.values()], atol=1e-12)
    total = sum(value * count for value, count in expected.values())
    assert found.mean == pytest.approx(total / sum(count for _, count in expected.values()), abs=1e-12)
    assert found.share_of_users == len(expected) / len(np.unique(users))
    assert found.share_of_rows == sum(count for _, count in expected.values()) / 700


def test_gauc_is_worked_out_by_hand_when_users_have_few_rows():
    labels = np.array([1, 0, 0, 1, 1, 0, np.nan])
    scores = np.array([0.5, 0.4, 0.5, 0.1, 0.9, 0.3, 0.7], dtype=np.float32)
    users = np.array([1, 1, 1, 2, 3, 3, 3])
    found = grouped_auc(labels, scores, users)
    assert found.users.tolist() == [1, 3]
    assert found.values.tolist() == [0.75, 1.0]
    assert found.mean == pytest.approx(float((Fraction(3, 4) * 3 + 2) / 5))
    assert (found.share_of_users, found.share_of_rows) == (2 / 3, 5 / 6)


def test_calibration_is_worked_out_by_hand_when_bins_hold_ties():
    probabilities = np.array([0.1, 0.1, 0.1, 0.1, 0.6, 0.9])
    labels = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    found = reliability(labels, probabilities, bins=3)
    assert found.counts.tolist() == [4, 2]
    np.testing.assert_allclose(found.predicted, [0.1, 0.75])
    np.testing.assert_allclose(found.observed, [0.25, 1.0])
    assert found.error == pytest.approx((4 * 0.15 + 2 * 0.25) / 6)


def test_bins_are_of_equal_mass_when_no_prediction_is_tied():
    probabilities = np.random.default_rng(1).random(1500) ** 2
    labels = (np.random.default_rng(2).random(1500) < probabilities).astype(float)
    found = reliability(labels, probabilities)
    assert found.counts.tolist() == [100] * 15
    order = np.argsort(probabilities)
    np.testing.assert_allclose(found.observed, labels[order].reshape(15, 100).mean(axis=1))
    assert found.error < 0.05 < reliability(labels, probabilities / 2).error


def test_a_constant_is_one_bin_when_it_is_judged():
    labels = np.array([0.0, 1.0, 1.0, 1.0])
    found = reliability(labels, np.full(4, 0.75))
    assert (found.counts.tolist(), found.error) == ([4], 0.0)


@pytest.mark.parametrize("levels", [3, 1000])
def test_xauc_counts_every_pair_when_times_and_predictions_are_tied(levels):
    rng = np.random.default_rng(levels)
    watched = rng.integers(0, levels, 130).astype(float)
    expected = np.round(watched / 2 + rng.normal(size=130) * levels / 4)
    unlike = watched[:, None] > watched[None, :]
    points = np.sign(expected[:, None] - expected[None, :])[unlike]
    assert xauc(watched, expected) == pytest.approx(((points + 1) / 2).mean(), abs=1e-12)


def test_watch_time_is_judged_on_known_rows_when_some_are_not_known():
    watched = np.array([10.0, np.nan, 4.0], dtype=np.float32)
    expected = np.array([7.0, np.nan, 5.0], dtype=np.float32)
    assert mean_absolute_error(watched, expected) == 2.0
    assert xauc(watched, expected) == 1.0


def test_a_metric_is_nan_when_the_rows_cannot_have_it():
    empty = np.zeros(0)
    assert np.isnan([auc(np.ones(3), np.arange(3.0)), xauc(np.ones(3), np.arange(3.0))]).all()
    assert np.isnan([auc(empty, empty), log_loss(empty, empty), reliability(empty, empty).error]).all()
    assert np.isnan([xauc(empty, empty), mean_absolute_error(empty, empty)]).all()
    none = grouped_auc(empty, empty, np.zeros(0, dtype=int))
    assert np.isnan([none.mean, none.share_of_users, none.share_of_rows]).all()


def test_predictions_are_refused_when_they_are_no_numbers_or_no_probabilities():
    labels = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match="1 of 2 predictions are not finite"):
        auc(labels, np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match=r"between 0\.1 and 1\.5"):
        log_loss(labels, np.array([0.1, 1.5]))
    with pytest.raises(ValueError, match="neither 0, 1 nor NaN"):
        auc(np.array([0.0, 0.5]), labels)
    with pytest.raises(ValueError, match="differ"):
        auc(labels, np.zeros(3))
    with pytest.raises(ValueError, match="1 of 2 predicted watch times"):
        xauc(labels, np.array([np.inf, 0.0]))
