from dataclasses import replace

import numpy as np
import pytest

from recmodels.data.histories import Histories
from recmodels.data.splits import Queries
from recmodels.data.visitors import resample
from recmodels.errors import DataError

# user a: trained on 5, then moments with targets [2], [3, 4], [6]; user b: nothing before, one moment with [7]
_ITEMS = np.array([5, 2, 3, 4, 6, 7], np.int32)
_QUERIES = Queries(
    histories=Histories(_ITEMS, np.arange(6), np.array([0, 0, 0, 5]), np.array([1, 2, 4, 5])),
    targets=Histories(_ITEMS, np.arange(6), np.array([1, 2, 4, 5]), np.array([2, 4, 5, 6])),
    user_ids=np.array(["a", "a", "a", "b"]),
    surfaces=np.array(["video"] * 4),
    is_new_user=np.array([False, False, False, True]),
)


def test_history_ends_where_the_future_begins_when_a_visit_is_drawn():
    visitors = resample(_QUERIES, count=200, seed=3)
    seen = {
        (str(user), tuple(visitors.histories.row(n).tolist()), tuple(visitors.futures.row(n).tolist()))
        for n, user in enumerate(visitors.user_ids)
    }
    assert seen == {
        ("a", (5,), (2, 3, 4, 6)),
        ("a", (5, 2), (3, 4, 6)),
        ("a", (5, 2, 3, 4), (6,)),
        ("b", (), (7,)),
    }


def test_every_user_is_as_likely_when_some_have_more_moments():
    users = resample(_QUERIES, count=4000, seed=0).user_ids
    assert abs((users == "a").mean() - 0.5) < 0.03  # 3.8 standard errors


def test_visits_are_the_same_when_the_seed_is():
    first, second, other = (resample(_QUERIES, count=50, seed=seed) for seed in (1, 1, 2))
    assert first.histories.ends.tolist() == second.histories.ends.tolist()
    assert first.histories.ends.tolist() != other.histories.ends.tolist()
    assert len(first) == 50


def test_drawing_is_refused_when_nothing_is_held_out():
    nobody = np.array([], np.int64)
    empty = replace(
        _QUERIES,
        histories=_QUERIES.histories.take(nobody),
        targets=_QUERIES.targets.take(nobody),
        user_ids=_QUERIES.user_ids[nobody],
        surfaces=_QUERIES.surfaces[nobody],
        is_new_user=_QUERIES.is_new_user[nobody],
    )
    with pytest.raises(DataError, match=r"no held-out events to draw visitors from.*earlier cutoff"):
        resample(empty, count=10, seed=0)
