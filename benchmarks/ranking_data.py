"""The data sets on which rankers are compared, how they are cut by time, and the features that every variant reads.

A history is every exposure before (`history_label = "any"`): a history of clicks is longer after a click, which
distorts GAUC by construction (docs/ranking.md). Counts are refreshed nightly, in the test part, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

from recmodels.data.schema import Tables
from recmodels.data.sources import SOURCES
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.parts import RankingCuts, RankingParts, ranking_parts

_CHINA = timezone(timedelta(hours=8))
_WORLD_USERS, _WORLD_SEED = 1000, 20261122


@dataclass(frozen=True)
class RankingData:
    """A data set cut for rankers.

    Attributes:
        read: Gives its tables; the argument is the folder of all data sets.
        cuts: Where it is cut.
        features: Settings of the features.
    """

    read: Callable[[Path], Tables]
    cuts: RankingCuts
    features: FeatureConfig


def _kuairand(folder: Path) -> Tables:
    tables: Tables = SOURCES.get("kuairand")(folder / "kuairand_pure")
    return tables


def _synthetic(_: Path) -> Tables:
    tables: Tables = SOURCES.get("synthetic")(None, users=_WORLD_USERS, seed=_WORLD_SEED)
    return tables


DATA: Mapping[str, RankingData] = MappingProxyType(
    {
        "kuairand": RankingData(
            _kuairand,
            RankingCuts(datetime(2022, 4, 29, 12, tzinfo=_CHINA), datetime(2022, 5, 1, tzinfo=_CHINA)),
            FeatureConfig(
                utc_offset_hours=8,
                history_label="any",
                max_history=20,
                user_attributes=("user_active_degree", "register_days_range"),
            ),
        ),
        "synthetic": RankingData(
            _synthetic,
            RankingCuts(datetime(2024, 1, 17, tzinfo=UTC), datetime(2024, 1, 20, tzinfo=UTC)),
            FeatureConfig(history_label="any", max_history=20, user_attributes=("age_band", "region")),
        ),
    }
)


def read_parts(name: str, folder: Path) -> RankingParts:
    """Read one of `DATA` and build its features.

    Args:
        name: Of the data set.
        folder: Of all data sets; the synthetic one is made up.
    """
    chosen = DATA[name]
    return ranking_parts(chosen.read(folder), cuts=chosen.cuts, config=chosen.features)
