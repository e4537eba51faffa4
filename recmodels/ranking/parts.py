"""The protocol of a ranker: exposures cut by time, features learned from the first part alone."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from recmodels.data.cuts import as_microseconds, as_moment
from recmodels.data.schema import Tables
from recmodels.data.vocabulary import Vocabulary
from recmodels.errors import SplitError
from recmodels.ranking.examples import Examples
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.features import FeatureBuilder
from recmodels.ranking.fitting import fit_features


@dataclass(frozen=True)
class RankingCuts:
    """Where a data set is cut; a moment without a zone is UTC, and an exposure at a cut belongs to the later part.

    Attributes:
        validation_from: First moment of the validation part.
        test_from: First moment of the test part.
        train_from: First moment of the training part; what was before only counts in snapshots and histories. None is
            the beginning, where nothing has been counted yet.
    """

    validation_from: datetime
    test_from: datetime
    train_from: datetime | None = None


@dataclass(frozen=True, eq=False)
class RankingParts:
    """A data set cut by time for a ranker; users have the same numbers in every part.

    Attributes:
        builder: Features fitted on what was before the validation part.
        train: Exposures before the validation part.
        validation: Exposures from its cut to that of the test part.
        test: Exposures from the last cut on.
    """

    builder: FeatureBuilder
    train: Examples
    validation: Examples
    test: Examples


def ranking_parts(
    tables: Tables,
    *,
    cuts: RankingCuts,
    config: FeatureConfig | None = None,
    vocabulary: Vocabulary | None = None,
    is_refreshed: bool = True,
) -> RankingParts:
    """Cut a data set and build the features of every exposure.

    Args:
        tables: Exposures, items and users.
        cuts: Where it is cut.
        config: Settings of features; the defaults where None.
        vocabulary: Items with an index of their own; those of the training part where None.
        is_refreshed: Exposures of later parts see counts to the end of the day before them, as where a nightly job
            publishes them; False gives them those of the day of their part's cut.

    Raises:
        SplitError: The timestamps are positions, the cuts are not in order, or a part is empty.
        DataError: See `fit_features`.
    """
    if tables.is_order_only:
        raise SplitError(
            f"{tables.name} knows only the order of each user's events; a ranker's parts are cut by time, so that "
            "counts of the past are known. Use a data set with timestamps."
        )
    builder = fit_features(tables, until=cuts.validation_from, config=config, vocabulary=vocabulary)
    whole = builder.examples(tables)
    validation = test = whole
    if not is_refreshed:
        validation = builder.examples(tables, frozen_from=cuts.validation_from)
        test = builder.examples(tables, frozen_from=cuts.test_from)
    first, second = as_microseconds(cuts.validation_from), as_microseconds(cuts.test_from)
    begin = int(whole.timestamps[0]) if cuts.train_from is None else as_microseconds(cuts.train_from)
    edges = np.searchsorted(whole.timestamps, [begin, first, second]).tolist()
    _check(whole, edges, cuts)
    return RankingParts(
        builder,
        whole.take(np.arange(edges[0], edges[1])),
        validation.take(np.arange(edges[1], edges[2])),
        test.take(np.arange(edges[2], len(whole))),
    )


def _check(whole: Examples, edges: list[int], cuts: RankingCuts) -> None:
    sizes = [last - first for first, last in zip(edges, [*edges[1:], len(whole)], strict=True)]
    if min(sizes) > 0:
        return
    first, last = as_moment(int(whole.timestamps[0])), as_moment(int(whole.timestamps[-1]))
    raise SplitError(
        f"the cuts leave {sizes[0]} training, {sizes[1]} validation and {sizes[2]} test exposures of {len(whole)}: "
        f"training from {cuts.train_from or first}, validation from {cuts.validation_from}, test from "
        f"{cuts.test_from}, data from {first} to {last}. Choose cuts inside the data, in this order."
    )
