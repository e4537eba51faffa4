from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recmodels.data.histories import Histories
from recmodels.models import MODELS
from recmodels.training.data import TrainingData
from tests.recmodels.worlds import a_vocabulary

UNTIL = datetime(2025, 3, 1, tzinfo=UTC)


def days_before(*days):
    return [int((UNTIL - timedelta(days=day)).timestamp() * 1_000_000) for day in days]


# item 2 three times long ago, item 3 twice lately, item 4 once lately, item 5 never
HISTORIES = Histories.from_lists([[2, 2, 3], [2, 3, 4]], [days_before(30, 20, 3), days_before(10, 7, 1)])
DATA = TrainingData(HISTORIES, a_vocabulary(4), np.array([0, 0, 3, 2, 1, 0]), UNTIL)


def ranking(**config):
    model = MODELS.build("popularity", MODELS.config("popularity", config), 6)
    scores = model.fit(DATA).export().score(Histories.from_lists([[]]))[0, 2:]
    return [2 + int(n) for n in np.argsort(-scores, kind="stable")]


def test_all_events_count_when_there_is_no_window():
    assert ranking() == [2, 3, 4, 5]


def test_the_window_reaches_back_from_the_cutoff_when_it_is_given():
    assert ranking(window_days=7) == [3, 4, 2, 5]  # the event exactly seven days before counts
    assert ranking(window_days=6.9) == [3, 4, 2, 5]  # one event each: the whole count decides
    assert ranking(window_days=2) == [4, 2, 3, 5]


def test_items_follow_by_their_whole_count_when_none_is_in_the_window():
    assert ranking(window_days=0.001) == [2, 3, 4, 5]


@pytest.mark.parametrize("days", [0, -1, float("nan")])
def test_a_window_is_refused_when_it_is_not_positive(days):
    with pytest.raises(ValueError, match="window_days"):
        MODELS.config("popularity", {"window_days": days})
