from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recmodels.data.schema import CLICKED, ITEM_ID, TIMESTAMP
from recmodels.errors import DataError
from recmodels.ranking.exposures import Exposures
from recmodels.ranking.leakage import leaking_columns

EVENING = {"moment": datetime(2024, 1, 6, 19, tzinfo=UTC), "until": datetime(2024, 1, 7, tzinfo=UTC)}


def test_no_feature_changes_when_later_outcomes_do(world, parts):
    assert leaking_columns(parts.builder.examples, world, **EVENING) == ()


def with_planted(parts, counted):
    """Return an extractor whose first numeric column is the clicks that an item got, as `counted` counts them."""

    def extract(tables):
        examples = parts.builder.examples(tables)
        exposures = Exposures.of(tables.interactions)
        table = exposures.table.take(pa.array(exposures.by_time()))
        numeric = examples.numeric.copy()
        numeric[:, 0] = counted(table)
        return replace(examples, numeric=numeric)

    return extract


def clicks_by(table, *groups):
    keys = [np.array(group.to_pylist(), dtype=str) for group in groups]
    joined = np.array(["/".join(key) for key in zip(*keys, strict=True)])
    found, place = np.unique(joined, return_inverse=True)
    return np.bincount(place, weights=table[CLICKED].to_numpy(), minlength=len(found))[place]


def clicks_of_the_day(table):
    return clicks_by(table, table[ITEM_ID], pc.strftime(table[TIMESTAMP], format="%Y-%m-%d"))


def clicks_of_all_days(table):
    return clicks_by(table, table[ITEM_ID])


def own_click(table):
    return table[CLICKED].to_numpy()


def rows_so_far(table):
    return np.full(table.num_rows, table.num_rows)


@pytest.mark.parametrize("planted", [clicks_of_the_day, clicks_of_all_days, own_click, rows_so_far])
def test_a_planted_leak_is_caught_by_name_when_it_sees_the_same_or_a_later_day(world, parts, planted):
    found = leaking_columns(with_planted(parts, planted), world, **EVENING)
    assert found == (parts.builder.spec.numeric[0],)


def test_a_moment_is_refused_when_everything_is_on_one_side_of_it(world, parts):
    with pytest.raises(DataError, match="on one side of 2030"):
        leaking_columns(parts.builder.examples, world, **dict.fromkeys(EVENING, datetime(2030, 1, 1, tzinfo=UTC)))
