import numpy as np
import pyarrow as pa
import pytest

from recmodels.evaluation.fairness import Draws, Fairness, Measured
from recmodels.evaluation.gaps import group_gaps, largest_gap, with_gaps
from recmodels.lineage import OLDER_USERS

DRAWS = Draws(samples=400, confidence=0.95, seed=3)


def part(values: dict[str, float]) -> pa.Table:
    users = sorted(values)
    return pa.table({"user_id": users, "ndcg_at_10": [values[user] for user in users]})


def group(prefix: str, high: int, low: int) -> dict[str, float]:
    """So many users with 1 and so many with 0."""
    return {f"{prefix}{n:03}": float(n < high) for n in range(high + low)}


def test_gap_is_between_the_best_and_the_worst_group_when_there_are_three():
    slices = {
        "age=old": part(group("o", 30, 10)),
        "age=mid": part(group("m", 20, 20)),
        "age=young": part(group("y", 10, 30)),
        "item=head": part(group("o", 40, 0)),
        OLDER_USERS: part(group("o", 40, 0)),
    }
    gaps = group_gaps(slices, "ndcg_at_10", DRAWS)
    assert set(gaps) == {"age"}
    gap = gaps["age"]
    assert (gap.best, gap.worst, gap.num_groups) == ("age=old", "age=young", 3)
    assert (gap.best_value, gap.worst_value, gap.difference) == (3 / 4, 1 / 4, 1 / 2)
    # Standard error of the difference: sqrt(2 * (3/16) / 40) = 0.097; three pairs at once need 2.3 to 2.5 of them.
    assert 2.1 * 0.097 < gap.upper - gap.difference < 2.7 * 0.097
    told = with_gaps(Measured({"a": 1.0}, {}, Fairness(10)), gaps)
    assert told.metrics == {"a": 1.0, "gap_age_ndcg_at_10": 1 / 2}
    assert told.intervals["gap_age_ndcg_at_10"].lower == gap.lower
    assert told.fairness == Fairness(10, gaps=gaps)


def test_gap_is_narrow_when_the_same_users_are_in_both_groups():
    rng = np.random.default_rng(0)
    users = rng.random(200)
    paired = np.stack([users, users - 0.1 + rng.normal(0, 0.01, 200)], axis=1)
    apart = np.full((400, 2), np.nan)
    apart[:200, 0], apart[200:, 1] = paired[:, 0], paired[:, 1]
    narrow, wide = (largest_gap(v, ["s=a", "s=b"], "m", DRAWS) for v in (paired, apart))
    assert narrow.difference == pytest.approx(wide.difference)
    assert narrow.lower > 0.09
    assert wide.upper - wide.lower > 20 * (narrow.upper - narrow.lower)


def test_chance_rarely_makes_a_gap_when_all_groups_are_alike():
    rng = np.random.default_rng(1)
    certain = 0
    for seed in range(40):
        values = np.full((300, 6), np.nan)
        values[np.arange(300), np.arange(300) % 6] = rng.random(300)
        gap = largest_gap(values, [f"g={n}" for n in range(6)], "m", Draws(100, 0.95, seed))
        certain += gap.lower > 0
    assert certain <= 6  # 2 expected; choosing the pair and ignoring it would give about 14


def test_there_is_no_gap_when_a_group_is_too_small():
    slices = {"age=old": part(group("o", 15, 5)), "age=young": part(group("y", 10, 9))}
    assert group_gaps(slices, "ndcg_at_10", DRAWS) == {}
