from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import FEEDBACK_COLUMNS, TIMESTAMP
from recmodels.errors import DataError, SplitError
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.fitting import fit_features
from recmodels.ranking.parts import RankingCuts, ranking_parts
from tests.recmodels.ranking.conftest import CONFIG, CUTS


def test_every_exposure_is_in_the_part_of_its_time_when_a_data_set_is_cut(world, parts):
    moments = np.sort(world.interactions[TIMESTAMP].cast(pa.int64()).to_numpy())
    first, second = as_microseconds(CUTS.validation_from), as_microseconds(CUTS.test_from)
    found = [parts.train, parts.validation, parts.test]
    assert np.array_equal(np.concatenate([part.timestamps for part in found]), moments)
    assert parts.train.timestamps.max() < first <= parts.validation.timestamps.min()
    assert parts.validation.timestamps.max() < second <= parts.test.timestamps.min()
    for part in found:
        ages = np.repeat(part.timestamps, part.histories.lengths) - part.histories.compact().timestamps
        assert (ages > 0).all()


def test_features_are_the_same_when_what_comes_after_training_changes(world, parts):
    until = CUTS.validation_from
    known = world.interactions.filter(pc.less(world.interactions[TIMESTAMP], pa.scalar(until)))
    again = fit_features(replace(world, interactions=known), until=until, config=CONFIG).state
    assert again.spec == parts.builder.spec
    assert np.array_equal(again.means, parts.builder.state.means)
    assert np.array_equal(again.scales, parts.builder.state.scales)
    for kind, counts in again.snapshot.counts.items():
        assert np.array_equal(counts, parts.builder.state.snapshot.counts[kind])


def test_numbers_have_mean_0_and_spread_1_when_they_are_of_the_training_part(parts):
    numeric = parts.train.numeric.astype(np.float64)
    assert np.abs(numeric.mean(axis=0)).max() < 0.05  # what is missing or clipped moves it a little
    assert np.abs(numeric).max() <= CONFIG.clip
    spread = numeric.std(axis=0)
    assert ((spread > 0.5) & (spread < 1.001)).mean() > 0.9


def test_the_order_of_rows_makes_no_difference_when_examples_are_built(world, parts):
    order = np.random.default_rng(0).permutation(world.interactions.num_rows)
    shuffled = replace(world, interactions=world.interactions.take(pa.array(order)))
    one, other = parts.builder.examples(world), parts.builder.examples(shuffled)
    for name in ("items", "numeric", "categorical", "labels", "users", "timestamps", "queries", "watch_seconds"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert np.array_equal(one.histories.flat().items, other.histories.flat().items)


def test_later_parts_see_the_counts_of_their_cut_when_nothing_is_refreshed(world):
    late = replace(CUTS, validation_from=CUTS.validation_from - timedelta(days=2))
    stale = ranking_parts(world, cuts=late, config=CONFIG, is_refreshed=False)
    whole = stale.builder.examples(world).numeric
    first, last = len(stale.train), len(stale.train) + len(stale.validation)
    assert np.array_equal(stale.train.numeric, whole[:first])
    end_of_first_day = as_microseconds(late.validation_from + timedelta(days=1))
    is_first_day = stale.validation.timestamps < end_of_first_day
    assert np.array_equal(stale.validation.numeric[is_first_day], whole[first:last][is_first_day])
    assert not np.array_equal(stale.validation.numeric[~is_first_day], whole[first:last][~is_first_day])


def test_columns_are_not_built_when_they_are_left_out(world, parts):
    left_out = ("log_history_events", "item_log_exposures_1d")
    fewer = fit_features(
        world, until=CUTS.validation_from, config=CONFIG.model_copy(update={"leave_out": left_out})
    ).examples(world)
    names = parts.builder.spec.numeric
    assert fewer.spec.numeric == tuple(name for name in names if name not in left_out)
    kept = [names.index(name) for name in fewer.spec.numeric]
    assert np.array_equal(fewer.numeric, parts.builder.examples(world).numeric[:, kept])
    with pytest.raises(DataError, match="leave_out names 'shoe_size'"):
        fit_features(world, until=CUTS.validation_from, config=FeatureConfig(leave_out=("shoe_size",)))


def test_the_first_days_only_count_when_training_begins_later(world, parts):
    later = replace(CUTS, train_from=datetime(2024, 1, 3, tzinfo=UTC))
    found = ranking_parts(world, cuts=later, config=CONFIG)
    kept = parts.train.timestamps >= as_microseconds(later.train_from)
    assert np.array_equal(found.train.numeric, parts.train.numeric[kept])


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        (RankingCuts(datetime(2023, 1, 1, tzinfo=UTC), CUTS.test_from), "no exposure is earlier than 2023"),
        (RankingCuts(CUTS.validation_from, datetime(2030, 1, 1, tzinfo=UTC)), " 0 test exposures"),
        (RankingCuts(CUTS.test_from, CUTS.validation_from), "Choose cuts inside the data, in this order"),
    ],
)
def test_cuts_are_refused_when_they_leave_a_part_empty(world, cuts, words):
    with pytest.raises(SplitError, match=words):
        ranking_parts(world, cuts=cuts, config=CONFIG)


def test_data_is_refused_when_a_ranker_cannot_learn_from_it(world):
    with pytest.raises(SplitError, match="knows only the order"):
        ranking_parts(replace(world, is_order_only=True), cuts=CUTS)
    with pytest.raises(DataError, match="'shoe_size', which is no text column of the users of synthetic; known: age"):
        ranking_parts(world, cuts=CUTS, config=FeatureConfig(user_attributes=("shoe_size",)))
    table = world.interactions
    for name in FEEDBACK_COLUMNS:
        table = table.set_column(table.column_names.index(name), name, pa.repeat(True, table.num_rows))
    with pytest.raises(DataError, match="true of some of"):
        ranking_parts(replace(world, interactions=table), cuts=CUTS)


def test_a_config_is_refused_when_it_names_who_somebody_is_or_a_column_twice():
    with pytest.raises(ValueError, match="tells who somebody is"):
        FeatureConfig(user_attributes=("user_id",))
    with pytest.raises(ValueError, match="names a column twice"):
        FeatureConfig(rates=("liked", "liked"))
