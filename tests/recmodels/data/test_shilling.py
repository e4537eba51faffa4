from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from recmodels.data.schema import INTERACTIONS, ORIGIN_SYNTHETIC
from recmodels.data.shilling import KINDS, Attack, ends_at, fake_events, inject
from recmodels.errors import DataError
from tests.monitoring.drift.tables import events, item_table

TABLE, ITEMS = events(days=3, rows=200, users=100), item_table()
STARTS = datetime(2024, 10, 5, tzinfo=UTC)


def attack(kind="random", **changes) -> Attack:
    return Attack(kind, "i33", STARTS, **({"user_share": 0.04, "target_events": 7, "fillers": 10} | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_every_account_pushes_the_target_and_hides_among_different_fillers(kind):
    found = fake_events(TABLE, ITEMS, attack(kind), seed=1)
    assert found.schema.equals(INTERACTIONS)
    by_user = {}
    for user, item in zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True):
        by_user.setdefault(user, []).append(item)
    assert len(by_user) == round(0.04 * len(set(TABLE["user_id"].to_pylist())))
    for items in by_user.values():
        assert items.count("i33") == 7
        fillers = [item for item in items if item != "i33"]
        assert len(set(fillers)) == len(fillers) == 10
    assert set(found["origin"].to_pylist()) == {ORIGIN_SYNTHETIC}
    assert all(found["clicked"].to_pylist())
    assert found["liked"].null_count == found.num_rows, "the data has no likes"
    moments = found["timestamp"].to_pylist()
    assert moments[0] >= STARTS
    assert moments == sorted(moments)
    assert moments[-1] < ends_at(attack())


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    first, again, other = (fake_events(TABLE, ITEMS, attack("average"), seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first["item_id"].equals(other["item_id"])


def test_bandwagon_holds_the_most_popular_items_and_segment_those_of_the_targets_category():
    popular = [item for item, _ in sorted(Counter(TABLE["item_id"].to_pylist()).items(), key=lambda p: (-p[1], p[0]))]
    of_segment = [item for item in popular if int(item[1:]) % 3 == 0 and item != "i33"]  # i33 is of category k0
    for kind, wanted in (("bandwagon", popular[:5]), ("segment", of_segment[:5])):
        found = fake_events(TABLE, ITEMS, attack(kind), seed=1)
        counts = Counter(found["item_id"].to_pylist())
        assert all(counts[item] == 4 for item in wanted), "every one of the four accounts has them"


def test_average_profiles_follow_popularity_and_random_ones_do_not():
    ranks = {}
    for kind in ("random", "average"):
        items = fake_events(TABLE, ITEMS, attack(kind, user_share=0.5), seed=1)["item_id"].to_pylist()
        ranks[kind] = np.mean([int(item[1:]) for item in items if item != "i33"])  # i0 is the most popular
    assert ranks["average"] < ranks["random"] - 3


def test_injecting_keeps_the_rows_before_and_an_unknown_target_is_refused():
    assert inject(TABLE, ITEMS, attack(), seed=1).slice(0, TABLE.num_rows).equals(TABLE)
    with pytest.raises(DataError, match="lacks the target 'i99'"):
        fake_events(TABLE, ITEMS, Attack("random", "i99", STARTS), seed=1)
    with pytest.raises(DataError, match="needs events to hide among"):
        fake_events(TABLE.slice(0, 0), ITEMS, attack(), seed=1)
