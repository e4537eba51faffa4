"""What features learn from the training part: vocabularies, labels worth a head, means and spreads."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.interactions import as_utc
from recmodels.data.schema import CATEGORY, CREATOR_ID, ITEM_ID, QUERY, SURFACE, TIMESTAMP, USER_ID, Tables
from recmodels.data.vocabulary import Vocabulary
from recmodels.errors import DataError, SplitError
from recmodels.ranking.examples import OTHER_SURFACE, TASKS, FeatureSpec
from recmodels.ranking.exposures import Exposures
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.features import FeatureBuilder, numeric_names
from recmodels.ranking.snapshots import WINDOWS, Snapshot, count_names
from recmodels.ranking.state import CREATOR, FeatureState, catalogue_of, key_sizes

_HOURS, _WEEKDAYS = 24, 7
_ROUNDING = 1e-12
"""Variance of a constant column, relative to its square, that sums of squares may leave."""


def fit_features(
    tables: Tables, *, until: datetime, config: FeatureConfig | None = None, vocabulary: Vocabulary | None = None
) -> FeatureBuilder:
    """Learn what features need from the exposures before a moment; later ones are not looked at.

    The state's counts are those to the end of the day before `until`, so a cut at midnight uses the whole part.

    Args:
        tables: Exposures, items and users. All items are known by their content, also those never shown.
        until: First moment (UTC where it has no zone) after the training part.
        config: Settings; the defaults where None.
        vocabulary: Items with an index of their own, such as those of the first stage; the items of the training part
            where None.

    Raises:
        SplitError: There is no exposure before `until`.
        DataError: No label has both classes there, or a user attribute or a column to leave out does not exist.
    """
    config = config or FeatureConfig()
    _check_attributes(tables, config)
    exposures = Exposures.of(_before(tables.interactions, until))
    catalogue = catalogue_of(tables.items)
    vocabulary = vocabulary or _vocabulary(exposures.table, config)
    values = _values(exposures.table, tables, catalogue, config)
    spec = _spec(exposures.table, values, vocabulary, config)
    shape = (len(WINDOWS), len(count_names([name for name in config.rates if name in spec.tasks])))
    empty = {kind: np.zeros((size, *shape), dtype=np.int64) for kind, size in key_sizes(catalogue).items()}
    numbers = len(spec.numeric)
    state = FeatureState(
        spec=spec,
        config=config,
        vocabulary=vocabulary,
        catalogue=catalogue,
        values=values,
        means=np.zeros(numbers),
        scales=np.ones(numbers),
        snapshot=Snapshot(0, empty),
    )
    means, scales = _moments_of(FeatureBuilder(state).raw_numbers(exposures, tables.users))
    fitted = FeatureBuilder(replace(state, means=means, scales=scales))
    return fitted.refreshed(exposures.table, moment=until)


def _before(interactions: pa.Table, until: datetime) -> pa.Table:
    moments = interactions[TIMESTAMP]
    chosen = interactions.filter(pc.less(moments, pa.scalar(as_utc(until), moments.type)))
    if chosen.num_rows:
        return chosen
    first = pc.min(moments).as_py()
    raise SplitError(f"no exposure is earlier than {until}; the first is of {first}. Choose a later cut.")


def _check_attributes(tables: Tables, config: FeatureConfig) -> None:
    known = [name for name in tables.users.column_names if pa.types.is_string(tables.users[name].type)]
    unknown = [name for name in config.user_attributes if name not in known]
    if unknown:
        raise DataError(
            f"user_attributes names {unknown[0]!r}, which is no text column of the users of {tables.name}; "
            f"known: {', '.join(name for name in known if name != USER_ID) or 'none'}."
        )


def _vocabulary(table: pa.Table, config: FeatureConfig) -> Vocabulary:
    return Vocabulary.build(pa.array(_frequent(table[ITEM_ID], config.minimum_item_rows), pa.string()))


def _values(
    table: pa.Table, tables: Tables, catalogue: pa.Table, config: FeatureConfig
) -> Mapping[str, tuple[str, ...]]:
    """Return the values of each categorical column that stand in enough exposures, sorted."""
    items = pc.index_in(table[ITEM_ID], value_set=catalogue[ITEM_ID].combine_chunks())
    people = pc.index_in(table[USER_ID], value_set=tables.users[USER_ID].combine_chunks())
    columns = {CREATOR: catalogue[CREATOR_ID].take(items), CATEGORY: catalogue[CATEGORY].take(items)}
    columns |= {name: tables.users[name].take(people) for name in config.user_attributes}
    return {name: tuple(_frequent(column, config.minimum_value_rows)) for name, column in columns.items()}


def _frequent(column: pa.ChunkedArray, minimum: int) -> list[str]:
    counts = pc.value_counts(column)
    values = counts.field("values").filter(pc.greater_equal(counts.field("counts"), minimum))
    found: list[str] = sorted(values.drop_null().to_pylist())
    return found


def _spec(
    table: pa.Table, values: Mapping[str, tuple[str, ...]], vocabulary: Vocabulary, config: FeatureConfig
) -> FeatureSpec:
    tasks = tuple(task for task in TASKS if pc.count_distinct(table[task], mode="only_valid").as_py() > 1)
    if not tasks:
        raise DataError(
            f"none of {', '.join(TASKS)} is known to be true of some of {table.num_rows} exposures and false of "
            "others. A ranker learns from exposures with and without feedback: read a source that has both."
        )
    surfaces = [name for name in _frequent(table[SURFACE], config.minimum_surface_rows) if name != OTHER_SURFACE]
    has_query = table[QUERY].null_count < table.num_rows
    own = [name for name in values if name in (CREATOR, CATEGORY)]
    attributes = [name for name in values if name not in own]
    sizes = {name: len(known) + 1 for name, known in values.items()}
    return FeatureSpec(
        categorical=(*own, "hour", "weekday", *attributes),
        cardinalities=(
            *(sizes[name] for name in own),
            _HOURS + 1,
            _WEEKDAYS + 1,
            *(sizes[name] for name in attributes),
        ),
        numeric=_numeric(tasks, config),
        surfaces=(OTHER_SURFACE, *surfaces),
        tasks=tasks,
        num_items=vocabulary.size,
        max_history=config.max_history,
        query_buckets=config.query_buckets if has_query else 0,
        max_query=config.max_query if has_query else 0,
    )


def _numeric(tasks: tuple[str, ...], config: FeatureConfig) -> tuple[str, ...]:
    names = numeric_names(tasks, config.rates)
    unknown = [name for name in config.leave_out if name not in names]
    if unknown:
        raise DataError(f"leave_out names {unknown[0]!r}, which is no numeric column; known: {', '.join(names)}.")
    return tuple(name for name in names if name not in config.leave_out)


def _moments_of(blocks: Iterable[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the finite numbers of each column; 0 and 1 where there is no spread."""
    sums = np.zeros((3, 1))
    for raw in blocks:
        is_known = np.isfinite(raw)
        filled = np.where(is_known, raw, 0.0)
        sums = sums + np.stack([is_known.sum(axis=0), filled.sum(axis=0), (filled**2).sum(axis=0)])
    counts = np.maximum(sums[0], 1)
    means = sums[1] / counts
    variances = sums[2] / counts - means**2
    has_spread = variances > _ROUNDING * (1 + means**2)
    return means, np.sqrt(np.where(has_spread, variances, 1.0))
