"""A small world of three surfaces, and features fitted on its first days."""

from datetime import UTC, datetime

import pytest

from recmodels.data.sources import synthetic
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.parts import RankingCuts, ranking_parts

CUTS = RankingCuts(datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC))
CONFIG = FeatureConfig(
    max_history=6, minimum_surface_rows=200, minimum_value_rows=3, user_attributes=("region",), max_query=12
)


@pytest.fixture(scope="session")
def world():
    return synthetic.read(None, users=80, items=60, creators=15, days=9, sessions_a_day=0.6)


@pytest.fixture(scope="session")
def parts(world):
    return ranking_parts(world, cuts=CUTS, config=CONFIG)
