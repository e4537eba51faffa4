from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.errors import TrainingError
from recmodels.models import MODELS
from recmodels.scorers import item_matrix
from recmodels.training.data import TrainingData
from tests.recmodels.worlds import a_vocabulary

ITEMS = 40


def data(*, seed=0):
    rng = np.random.default_rng(7)
    lists = [rng.integers(2, ITEMS + 2, size=rng.integers(1, 25)).tolist() for _ in range(90)]
    until = datetime(2025, 1, 1, tzinfo=UTC)
    return TrainingData(Histories.from_lists(lists), a_vocabulary(ITEMS), np.zeros(ITEMS + 2), until, seed)


def fitted(*, seed=0, **config):
    values = {"factors": 16, "regularisation": 2.0, "confidence": 6.0, "iterations": 5} | config
    return MODELS.build("ials", MODELS.config("ials", values), ITEMS + 2).fit(data(seed=seed))


@pytest.mark.parametrize("confidence", [1.0, 6.0])
def test_the_factors_of_a_training_history_are_those_of_implicit_when_it_is_served(confidence):
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    model = fitted(confidence=confidence)
    with threadpool_limits(1, "blas"):
        oracle = AlternatingLeastSquares(
            factors=16, regularization=2.0, alpha=confidence, num_threads=1, use_gpu=False, use_cg=False
        )
    oracle.item_factors = model.item_factors[2:]
    oracle.user_factors = np.zeros((90, 16), np.float32)
    users = sparse.csr_matrix(item_matrix(data().train, ITEMS + 2)[:, 2:])
    expected = oracle.recalculate_user(np.arange(90), users)
    np.testing.assert_allclose(model.export().queries(data().train), expected, atol=1e-4)


def test_factors_solve_the_normal_equations_when_they_are_computed_one_by_one():
    scorer = fitted(iterations=1).export()
    factors = scorer.item_factors.astype(np.float64)
    history = np.unique(data().train.row(3))
    weights = np.where(np.isin(np.arange(ITEMS + 2), history), 6.0, 1.0)
    weights[:2] = 0
    left = factors.T @ (weights[:, None] * factors) + 2.0 * np.eye(16)
    expected = np.linalg.solve(left, 6.0 * factors[history].sum(axis=0))
    np.testing.assert_allclose(scorer.queries(Histories.from_lists([history.tolist()]))[0], expected, atol=1e-5)


def test_only_the_last_events_count_when_the_history_is_limited():
    scorer = fitted(history_length=3).export()
    long, short = Histories.from_lists([[5, 6, 7, 1, 8, 9]]), Histories.from_lists([[7, 8, 9]])
    np.testing.assert_array_equal(scorer.score(long), scorer.score(short))


def test_factors_are_equal_to_the_bit_when_the_seed_is():
    np.testing.assert_array_equal(fitted().item_factors, fitted().item_factors)
    assert not np.array_equal(fitted().item_factors, fitted(seed=1).item_factors)


def test_fitting_is_refused_with_numbers_when_the_forecast_is_above_what_may_be_used():
    with pytest.raises(TrainingError, match=r"16 factors for 90 users and 40 items needs 0\.0 GB; memory_gigabytes"):
        fitted(memory_gigabytes=1e-6)
