import numpy as np
import pytest
from pydantic import ValidationError

from recmodels.ranking.utility import Utility

TASKS = ("clicked", "liked", "hidden")


def test_the_utility_is_the_weighted_sum_when_worked_out_by_hand():
    utility = Utility(clicked=1, liked=4, hidden=-10, watch=2, watch_half_seconds=30)
    probabilities = np.array([[0.5, 0.25, 0.0], [0.5, 0.0, 0.1]], dtype=np.float64)
    expected = [1 / 2 + 1 + 2 * 90 / 120, 1 / 2 - 1 + 0]
    np.testing.assert_allclose(utility.score(probabilities, np.array([90.0, -5.0]), tasks=TASKS), expected, rtol=1e-12)


def test_a_set_of_weights_changes_the_order_when_the_predictions_stay_the_same():
    probabilities = np.array([[0.9, 0.0, 0.0], [0.3, 0.3, 0.0]])
    assert Utility().score(probabilities, None, tasks=TASKS).argmax() == 0
    assert Utility(liked=4).score(probabilities, None, tasks=TASKS).argmax() == 1


def test_weights_are_refused_when_all_are_0_or_one_has_the_wrong_sign_or_is_no_number():
    with pytest.raises(ValidationError, match="every weight of the utility is 0"):
        Utility(clicked=0)
    for wrong in ({"hidden": 1.0}, {"clicked": -1.0}, {"liked": np.nan}, {"watch": np.inf}, {"loved": 1.0}):
        with pytest.raises(ValidationError):
            Utility(**wrong)


def test_a_weight_on_what_the_ranker_does_not_predict_is_refused_with_what_it_predicts():
    with pytest.raises(ValueError, match="shared, watch a weight, but the ranker predicts clicked, liked, hidden"):
        Utility(shared=1, watch=1).check(TASKS, has_watch=False)


def test_a_prediction_that_is_no_number_is_refused_when_it_has_a_weight_and_ignored_without():
    probabilities = np.array([[0.5, np.nan, 0.0]])
    assert Utility().score(probabilities, np.array([np.nan]), tasks=TASKS).tolist() == [0.5]
    with pytest.raises(ValueError, match="1 of 1 utilities"):
        Utility(liked=1).score(probabilities, None, tasks=TASKS)
    with pytest.raises(ValueError, match="1 of 1 utilities"):
        Utility(watch=1).score(probabilities, np.array([np.nan]), tasks=TASKS)
    assert Utility(watch=1, clicked=0).score(probabilities, np.array([np.inf]), tasks=TASKS).tolist() == [1.0]


def test_the_shape_is_refused_when_it_does_not_fit_the_tasks():
    with pytest.raises(ValueError, match=r"\(1, 2\) do not fit 3 tasks"):
        Utility().score(np.zeros((1, 2)), None, tasks=TASKS)
