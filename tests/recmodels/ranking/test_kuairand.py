"""Features of real exposures: what holds for the small world holds for KuaiRand."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import CLICKED, ITEM_ID, SURFACE, TIMESTAMP, USER_ID
from recmodels.data.sources import kuairand
from recmodels.evaluation.ranking_metrics import auc
from recmodels.ranking.exposures import Exposures
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.leakage import leaking_columns
from recmodels.ranking.parts import RankingCuts, ranking_parts
from recmodels.ranking.shown import RankingRequest

CHINA = timezone(timedelta(hours=8))
CUTS = RankingCuts(datetime(2022, 4, 29, tzinfo=CHINA), datetime(2022, 5, 1, tzinfo=CHINA))
CONFIG = FeatureConfig(utc_offset_hours=8, user_attributes=("user_active_degree", "register_days_range"))


@pytest.fixture(scope="module")
def tables(shared_data):
    return kuairand.read(shared_data / "kuairand_pure")


@pytest.fixture(scope="module")
def parts(tables):
    return ranking_parts(tables, cuts=CUTS, config=CONFIG)


@pytest.mark.slow
def test_the_surfaces_that_count_are_named_when_kuairand_is_read(tables, parts):
    assert parts.builder.spec.surfaces == ("other", "tab_0", "tab_1", "tab_2", "tab_4", "tab_6")
    assert len(parts.train) + len(parts.validation) + len(parts.test) == tables.interactions.num_rows
    whole = parts.validation
    clicks = whole.numeric[:, whole.spec.numeric.index("item_clicked_rate_all")]
    assert auc(whole.labels[:, 0], clicks) > 0.6


@pytest.mark.slow
def test_no_feature_of_kuairand_sees_what_came_later(tables, parts):
    until = datetime(2022, 5, 4, tzinfo=CHINA)
    assert leaking_columns(parts.builder.examples, tables, moment=until - timedelta(hours=12), until=until) == ()


@pytest.mark.slow
def test_logged_requests_of_kuairand_have_the_bits_of_their_rows_when_replayed(tables, parts):
    moment = datetime(2022, 5, 3, tzinfo=CHINA)
    builder = parts.builder.refreshed(tables.interactions, moment=moment)
    exposures = Exposures.of(tables.interactions)
    shown = exposures.table.take(pa.array(exposures.by_time()))
    first = len(parts.train) + len(parts.validation)
    day = np.flatnonzero(
        (parts.test.timestamps >= as_microseconds(moment))
        & (parts.test.timestamps < as_microseconds(moment + timedelta(days=1)))
    )
    for row in np.random.default_rng(4).choice(day, 40, replace=False):
        own = shown.slice(first + row, 1).to_pylist()[0]
        past = shown.filter(pc.equal(shown[USER_ID], own[USER_ID]))
        past = past.filter(pc.and_(past[CLICKED], pc.less(past[TIMESTAMP], pa.scalar(own[TIMESTAMP]))))
        person = tables.users.filter(pc.equal(tables.users[USER_ID], own[USER_ID])).to_pylist()[0]
        request = RankingRequest(
            history=past[ITEM_ID].to_pylist(),
            timestamps=past[TIMESTAMP].cast(pa.int64()).to_pylist(),
            moment=as_microseconds(own[TIMESTAMP]),
            surface=own[SURFACE],
            attributes={name: person[name] for name in CONFIG.user_attributes},
        )
        served, logged = builder.for_request(request, [own[ITEM_ID]]), parts.test.take(np.array([row]))
        for name in ("items", "categorical", "numeric", "surfaces"):
            assert getattr(served, name).tobytes() == getattr(logged, name).tobytes(), name
        assert np.array_equal(served.histories.row(0), logged.histories.row(0))
