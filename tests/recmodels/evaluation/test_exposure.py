import numpy as np
import pyarrow as pa
import pytest

from recmodels.data.histories import Histories
from recmodels.evaluation.exposure import Catalogue, Lists, lift_of, measure_exposure
from recmodels.evaluation.fairness import Draws
from tests.recmodels.evaluation.test_exposure_figures import catalogue

DRAWS = Draws(samples=200, confidence=0.95, seed=0)


def alone(values):
    """Every query is a user of their own."""
    size = len(next(iter(values.values()), ()))
    return pa.table({"user_id": [f"u{n}" for n in range(size)]} | {name: pa.array(v) for name, v in values.items()})


def test_lift_is_a_ratio_of_means_when_users_differ():
    value, interval = lift_of(np.array([[30.0, 10.0], [10.0, 10.0], [99.0, np.nan]]), DRAWS)
    assert value == 2
    assert (interval.lower, interval.upper) == (1, 3)
    assert np.isnan(lift_of(np.array([[1.0, np.nan]]), DRAWS)[0])


def test_exposure_stands_beside_consumption_and_catalogue():
    items = catalogue(["a", "b", "c", "d", "e"], [1, 2, 3, 4, 5])  # large a; middle b, c; small d, e; new e
    counts = np.array([0, 0, 8, 4, 4, 2, 2])
    lists = Lists(np.array([[2, 3], [2, 6]], np.int32), Histories.from_lists([[6], [2, 3]]))
    found = measure_exposure(lists, Catalogue(items, counts), alone, top_ks=(2,), draws=DRAWS)
    small = found.fairness.exposure["creators=small"]
    assert small.exposure == 1 / 4
    assert small.consumption == 4 / 20
    assert small.catalogue == 2 / 5
    assert small.ratio == 5 / 4
    assert (small.lower, small.upper) == (0, 1 / 2)
    assert found.fairness.exposure["items=new"].exposure == 1 / 4
    assert found.metrics["exposure_creators_large_at_2"] == 1 / 2
    # Lists (8 + 4) / 2 and (8 + 2) / 2; histories 2 and 6.
    assert found.metrics["popularity_lift_at_2"] == pytest.approx((6 + 5) / (2 + 6))
    # Slots of the creators: 2, 1, 0, 0, 1.
    assert found.metrics["creator_gini_at_2"] == pytest.approx(2 * (3 + 4 + 2 * 5) / (5 * 4) - 6 / 5)
