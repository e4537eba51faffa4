from datetime import UTC, datetime

import numpy as np
import pytest

from recmodels.data.histories import Histories
from recmodels.errors import TrainingError
from recmodels.models import MODELS
from recmodels.training.data import TrainingData
from tests.recmodels.worlds import a_vocabulary


def fitted(rows, count, **config):
    data = TrainingData(
        Histories.from_lists(rows), a_vocabulary(count), np.zeros(count + 2), datetime(2025, 1, 1, tzinfo=UTC)
    )
    return MODELS.build("ease", MODELS.config("ease", config), count + 2).fit(data).weights.toarray()


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(5)
    rows = [rng.integers(2, 14, size=rng.integers(1, 9)).tolist() for _ in range(60)]
    X = np.zeros((60, 12))
    for user, items in enumerate(rows):
        X[user, np.array(items) - 2] = 1
    return rows, X


def test_weights_solve_a_ridge_regression_for_each_item_when_it_may_not_use_itself(world):
    rows, X = world
    weights = fitted(rows, 12, regularisation=3.0)[2:, 2:]
    for item in range(12):
        others = np.delete(np.arange(12), item)
        A = X[:, others]
        expected = np.linalg.solve(A.T @ A + 3.0 * np.eye(11), A.T @ X[:, item])
        np.testing.assert_allclose(weights[others, item], expected, atol=1e-6)
        assert weights[item, item] == 0


def test_a_pair_counts_once_when_a_user_repeats_an_item(world):
    rows, _ = world
    np.testing.assert_array_equal(fitted([row + row[:2] for row in rows], 12), fitted(rows, 12))


def test_the_largest_magnitudes_are_kept_when_the_table_is_cut(world):
    rows, _ = world
    whole, cut = fitted(rows, 12, regularisation=3.0), fitted(rows, 12, regularisation=3.0, neighbours=4)
    for item in range(2, 14):
        kept = np.flatnonzero(cut[item])
        np.testing.assert_array_equal(np.sort(np.argsort(-np.abs(whole[item]), kind="stable")[:4]), kept)
        np.testing.assert_array_equal(cut[item, kept], whole[item, kept])


def test_unknown_items_have_no_weights_when_histories_hold_them():
    weights = fitted([[2, 1, 3], [1, 1]], 3)
    assert not weights[:2].any()
    assert not weights[:, :2].any()


def test_fitting_is_refused_with_numbers_when_the_forecast_is_above_the_limit():
    # 2 matrices x 8 bytes x 1000 x 1000 items = 16 MB
    with pytest.raises(TrainingError, match=r"ease on 1000 items needs 0.0 GB .* memory_gigabytes allows 0.015"):
        fitted([[2, 3]], 1000, memory_gigabytes=0.015)
    assert fitted([[2, 3]], 1000, memory_gigabytes=0.017).shape == (1002, 1002)
