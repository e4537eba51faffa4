import math

import numpy as np
import pytest

from benchmarks.serving.figures import Spread, not_measured, quantile, ratio, table
from benchmarks.serving.overload import _recovery
from benchmarks.serving.scrape import bound, total

TEXT = """# TYPE a histogram
a_bucket{arm="x",le="0.01"} 90
a_bucket{arm="x",le="0.02"} 99
a_bucket{arm="x",le="+Inf"} 100
a_bucket{arm="y",le="0.01"} 100
a_bucket{arm="y",le="0.02"} 100
a_bucket{arm="y",le="+Inf"} 100
b_total{path="/"} 3
b_total{path="/x"} 4
# EOF
"""


def test_a_ratio_is_the_median_over_rounds_measured_side_by_side() -> None:
    row = ratio("a / b", ours=[10, 30, 20], theirs=[10, 10, 10], limit=2.0)

    assert row.measured == "2.00 (1.00 to 3.00) x"
    assert row.holds is True
    assert ratio("a / b", ours=[21], theirs=[10], limit=2.0).holds is False


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.75, 3), (0.76, 4), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_a_value_that_was_observed(share: float, expected: int) -> None:
    assert quantile([4, 2, 1, 3], share) == expected


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(quantile([], 0.5))


def test_a_bound_is_taken_over_all_labels() -> None:
    assert bound(TEXT, "a", 0.95) == 0.01  # 190 of 200
    assert bound(TEXT, "a", 0.99) == 0.02  # 199 of 200
    assert bound(TEXT, "a", 1.0) == math.inf
    assert total(TEXT, "b") == 7


def test_recovery_starts_after_the_last_window_that_was_not_calm() -> None:
    due = np.arange(0, 2, 0.05)
    calm = np.full(len(due), 0.01)
    fine = np.full(len(due), 200, dtype=np.uint16)
    late, refused = calm.copy(), fine.copy()
    late[3] = 0.2  # due at 0.15
    refused[12] = 503  # due at 0.60

    assert _recovery(due, calm, fine) == 0.0
    assert _recovery(due, late, fine) == 0.25
    assert _recovery(due, late, refused) == 0.75
    assert _recovery(due, calm, np.full(len(due), 503, dtype=np.uint16)) is None


def test_the_table_marks_what_was_not_measured() -> None:
    text = table(
        {"request": [not_measured("x", "<= 1", "ray is not installed"), ratio("y", ours=[3], theirs=[1], limit=2)]}
    )

    assert "| request | x | <= 1 | not measured | - | ray is not installed |" in text
    assert "| **no** |" in text
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
