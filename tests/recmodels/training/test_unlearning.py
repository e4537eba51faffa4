"""Users are taken out of EASE and item neighbours: the model is the one that was never trained on them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.models import ease, item_knn
from recmodels.training.data import TrainingData
from recmodels.training.unlearning import EaseStatistics, ItemKnnStatistics

NUM_ITEMS = 60
SIZE = NUM_ITEMS + FIRST_ITEM
EASE = ease.Model.Config(regularisation=5.0, neighbours=20)
KNN = item_knn.Model.Config(neighbours=15, shrinkage=2.0)


@pytest.fixture(scope="module")
def histories() -> Histories:
    """200 users with 1 to 25 events of 60 items, repeats among them."""
    rng = np.random.default_rng(7)
    lists = [(rng.zipf(1.4, rng.integers(1, 26)) % NUM_ITEMS + FIRST_ITEM).tolist() for _ in range(200)]
    return Histories.from_lists(lists)


def _fit(model: ease.Model | item_knn.Model, histories: Histories, size: int = SIZE) -> sparse.csr_array:
    names = np.array([f"i{n}" for n in range(size - FIRST_ITEM)])
    counts = np.ones(size, np.int64)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return model.fit(TrainingData(histories, Vocabulary(names), counts, moment, 0)).weights


def _all_but(users: list[int]) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(200), users)


@pytest.mark.parametrize("users", [[0], [3, 40, 199], list(range(50))])
def test_ease_equals_a_training_without_the_users(histories: Histories, users: list[int]) -> None:
    whole = EaseStatistics.of(histories, SIZE, regularisation=5.0)
    trained = _fit(ease.Model(EASE, SIZE), histories.take(_all_but(users)))
    before = _fit(ease.Model(EASE, SIZE), histories)
    assert abs(whole.table(EASE) - before).max() == 0

    table = whole.without(histories.take(np.array(users))).table(EASE)

    assert abs(table - trained).max() < 1e-6
    assert abs(before - trained).max() > 1e-3


def test_ease_stays_exact_when_users_go_one_after_another(histories: Histories) -> None:
    statistics = EaseStatistics.of(histories, SIZE, regularisation=5.0)
    for user in range(100):
        statistics = statistics.without(histories.take(np.array([user])))
    trained = EaseStatistics.of(histories.take(np.arange(100, 200)), SIZE, regularisation=5.0)
    assert np.abs(statistics.inverse - trained.inverse).max() < 1e-13


@pytest.mark.parametrize("users", [[0], [3, 40, 199], list(range(50))])
def test_item_neighbours_equal_a_training_without_the_users_to_the_bit(histories: Histories, users: list[int]) -> None:
    trained = _fit(item_knn.Model(KNN, SIZE), histories.take(_all_but(users)))

    table = ItemKnnStatistics.of(histories, SIZE).without(histories.take(np.array(users))).table(KNN)

    assert np.array_equal(table.toarray(), trained.toarray())


def test_an_item_that_goes_with_its_only_user_leaves_both_models() -> None:
    lists = [[2, 3], [3, 4, 5], [2, 4], [6, 2, 6]]  # the fourth item, 6, is the last user's alone
    whole, left = Histories.from_lists(lists), Histories.from_lists(lists[:3])
    last, kept = whole.take(np.array([3])), np.array([True, True, True, True, False])
    config = ease.Model.Config(regularisation=0.5)

    ease_left = EaseStatistics.of(whole, 7, regularisation=0.5).without(last).without_items(kept)
    knn_left = ItemKnnStatistics.of(whole, 7).without(last).without_items(kept)

    assert abs(ease_left.table(config) - _fit(ease.Model(config, 6), left, 6)).max() < 1e-6
    assert np.array_equal(knn_left.table(KNN).toarray(), _fit(item_knn.Model(KNN, 6), left, 6).toarray())


def test_an_item_that_others_have_leaves_ease_as_if_it_had_never_been() -> None:
    lists = [[2, 3], [3, 4, 5], [2, 4, 5], [5, 2]]
    without_the_last = [[item for item in row if item != 5] for row in lists]
    statistics = EaseStatistics.of(Histories.from_lists(lists), 6, regularisation=0.5)
    expected = EaseStatistics.of(Histories.from_lists(without_the_last), 5, regularisation=0.5)
    found = statistics.without_items(np.array([True, True, True, False]))
    assert np.allclose(found.inverse, expected.inverse, atol=1e-14)


def test_one_user_is_taken_away_by_hand() -> None:
    both, one = Histories.from_lists([[2], [2]]), Histories.from_lists([[2]])
    statistics = EaseStatistics.of(both, 3, regularisation=1.0)
    assert statistics.inverse.tolist() == [[pytest.approx(1 / 3)]]
    assert statistics.without(one).inverse.tolist() == [[pytest.approx(1 / 2)]]
    assert ItemKnnStatistics.of(both, 3).without(one).together.toarray().tolist() == [[1.0]]
