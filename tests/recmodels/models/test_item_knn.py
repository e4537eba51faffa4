from datetime import UTC, datetime
from math import sqrt

import numpy as np
import pytest

from recmodels.data.histories import Histories
from recmodels.models import MODELS, _neighbours
from recmodels.training.data import TrainingData
from tests.recmodels.worlds import a_vocabulary


def fitted(rows, count, **config):
    data = TrainingData(
        Histories.from_lists(rows), a_vocabulary(count), np.zeros(count + 2), datetime(2025, 1, 1, tzinfo=UTC)
    )
    return MODELS.build("item_knn", MODELS.config("item_knn", config), count + 2).fit(data).weights.toarray()


ROWS = [[2, 3], [2, 3, 4], [2], [4, 4, 1]]  # item 2 has 3 users, item 3 has 2, item 4 has 2


def test_weights_are_cosines_when_there_is_no_shrinkage():
    expected = np.zeros((5, 5))
    expected[2, 3] = expected[3, 2] = 2 / sqrt(3 * 2)
    expected[2, 4] = expected[4, 2] = 1 / sqrt(3 * 2)
    expected[3, 4] = expected[4, 3] = 1 / sqrt(2 * 2)
    np.testing.assert_allclose(fitted(ROWS, 3), expected, rtol=1e-6)


def test_shrinkage_is_added_to_the_denominator_when_given():
    weights = fitted(ROWS, 3, shrinkage=4.0)
    assert weights[2, 3] == pytest.approx(2 / (sqrt(6) + 4), rel=1e-6)
    assert weights[3, 4] == pytest.approx(1 / 6, rel=1e-6)


def test_only_the_nearest_are_kept_when_neighbours_are_few():
    weights = fitted(ROWS, 3, neighbours=1)
    assert [np.flatnonzero(row).tolist() for row in weights] == [[], [], [3], [2], [3]]


def test_weights_equal_the_dense_formula_when_histories_are_random(monkeypatch):
    monkeypatch.setattr(_neighbours, "BLOCK_BYTES", 8 * 30 * 7)  # seven items a block
    rng = np.random.default_rng(3)
    rows = [rng.integers(2, 32, size=rng.integers(0, 12)).tolist() for _ in range(80)]
    weights = fitted(rows, 30, neighbours=5, shrinkage=1.5)
    X = np.zeros((80, 32))
    for user, items in enumerate(rows):
        X[user, items] = 1
    together = X.T @ X
    norms = np.sqrt(np.diag(together))
    dense = together / (np.outer(norms, norms) + 1.5)
    np.fill_diagonal(dense, 0)
    for item in range(2, 32):
        kept = np.flatnonzero(weights[item])
        assert len(kept) == min(5, np.count_nonzero(dense[item]))
        np.testing.assert_allclose(weights[item, kept], dense[item, kept], rtol=1e-5)
        np.testing.assert_allclose(np.sort(weights[item])[-5:], np.sort(dense[item])[-5:], rtol=1e-5)


def test_weights_are_zero_when_nobody_consumed_anything():
    assert not fitted([[], []], 3).any()
