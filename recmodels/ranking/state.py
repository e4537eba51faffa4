"""What was learned about features from the training part, and nothing about a person: what a gateway needs of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import save_file

from recmodels.arrays import check_finite, read_arrays
from recmodels.data.schema import CATEGORY, CREATOR_ID, DURATION_SECONDS, ITEM_ID, PUBLISHED_AT
from recmodels.data.vocabulary import Vocabulary
from recmodels.errors import BundleError, DataError
from recmodels.manifest import MAX_BYTES
from recmodels.ranking.columns import COUNTED, EVERYTHING
from recmodels.ranking.examples import FeatureSpec
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.snapshots import WINDOWS, Snapshot, count_names
from recmodels.tables import read_table

_STATE, _ITEMS, _VOCABULARY, _NUMBERS = "state.json", "items.parquet", "vocabulary.parquet", "numbers.safetensors"
_COLUMNS = (ITEM_ID, CREATOR_ID, CATEGORY, DURATION_SECONDS, PUBLISHED_AT)
KINDS = (*COUNTED, EVERYTHING)
CREATOR = "creator"
"""Name of the categorical column of creators; that of main categories is ``category``, as in the contract."""


class _Words(BaseModel):
    """The part of a state that is written as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: FeatureSpec
    config: FeatureConfig
    values: dict[str, tuple[str, ...]]
    day: int
    num_rows: int


@dataclass(frozen=True, eq=False)
class FeatureState:
    """Vocabularies, standardisation, the catalogue and the newest counts of its items and creators.

    Attributes:
        spec: What the columns are.
        config: What was asked for.
        vocabulary: Items with an index of their own.
        catalogue: R items that are known, with or without such an index: what `catalogue_of` returned.
        values: Categorical column -> its values from index 1 on.
        means: ``(F,)`` mean of each number in the training part.
        scales: ``(F,)`` its standard deviation; 1 where that is 0.
        snapshot: What is counted of each item (a row of the catalogue), creator and category (see `codes_of`).
    """

    spec: FeatureSpec
    config: FeatureConfig
    vocabulary: Vocabulary
    catalogue: pa.Table
    values: Mapping[str, tuple[str, ...]]
    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    snapshot: Snapshot

    @property
    def rates(self) -> tuple[str, ...]:
        """Kinds of feedback that are counted: those asked for that the data has."""
        return tuple(name for name in self.config.rates if name in self.spec.tasks)

    def with_items(self, items: pa.Table) -> "FeatureState":
        """Return a state that knows more items; those that it knows already stay as they are.

        Args:
            items: Schema `ITEMS`.
        """
        known = self.catalogue[ITEM_ID].combine_chunks()
        added = catalogue_of(items.filter(pc.invert(pc.is_in(items[ITEM_ID], value_set=known))))
        catalogue = pa.concat_tables([self.catalogue, added]).combine_chunks()
        counts = {kind: _padded(self.snapshot.counts[kind], size) for kind, size in key_sizes(catalogue).items()}
        return replace(self, catalogue=catalogue, snapshot=Snapshot(self.snapshot.day, counts))

    def save(self, folder: Path) -> None:
        """Write the state into `folder`, which is created: JSON, Parquet and safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        words = _Words(
            spec=self.spec,
            config=self.config,
            values=dict(self.values),
            day=self.snapshot.day,
            num_rows=self.catalogue.num_rows,
        )
        text = json.dumps(words.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        (folder / _STATE).write_text(text + "\n", encoding="utf-8")
        pq.write_table(self.catalogue, folder / _ITEMS, compression="snappy")
        pq.write_table(self.vocabulary.to_table(), folder / _VOCABULARY, compression="snappy")
        counts = {f"counts_{kind}": np.ascontiguousarray(self.snapshot.counts[kind]) for kind in KINDS}
        save_file({"means": self.means, "scales": self.scales, **counts}, folder / _NUMBERS)

    @classmethod
    def load(cls, folder: Path, *, max_bytes: int = MAX_BYTES) -> "FeatureState":
        """Read what `save` wrote.

        Raises:
            BundleError: A file is missing or damaged, or does not fit the others.
        """
        try:
            words = _Words.model_validate_json((folder / _STATE).read_bytes())
            catalogue = read_table(folder / _ITEMS, rows=words.num_rows, max_bytes=max_bytes)
            size = words.spec.num_items - 2
            vocabulary = Vocabulary.from_table(read_table(folder / _VOCABULARY, rows=size, max_bytes=max_bytes))
            expected = {"means": (np.float64, 1), "scales": (np.float64, 1)}
            arrays = read_arrays(folder / _NUMBERS, expected | {f"counts_{kind}": (np.int64, 3) for kind in KINDS})
            counts = {kind: arrays[f"counts_{kind}"] for kind in KINDS}
            _check(words, catalogue, arrays, counts)
        except (OSError, ValueError, pa.ArrowException, DataError) as error:
            raise BundleError(f"the features in {folder.name} cannot be read: {error}. Train again.") from error
        return cls(
            spec=words.spec,
            config=words.config,
            vocabulary=vocabulary,
            catalogue=catalogue,
            values=words.values,
            means=arrays["means"],
            scales=arrays["scales"],
            snapshot=Snapshot(words.day, counts),
        )


def catalogue_of(items: pa.Table) -> pa.Table:
    """Return what features need of items, schema `ITEMS`: id, creator, main category, duration and publication."""
    first = pc.list_element(pc.split_pattern(pc.fill_null(items[CATEGORY], ""), pattern="|"), 0)
    main = pc.utf8_trim_whitespace(first)
    columns = {name: items[name] for name in _COLUMNS}
    columns[CATEGORY] = pc.if_else(pc.equal(main, ""), pa.scalar(None, pa.string()), main)
    return pa.table(columns).combine_chunks()


def codes_of(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], pa.Array]:
    """Number the values of a column as they come up, so that rows appended later change no number.

    Returns:
        ``(R,)`` number of each row, -1 for null, and the values in the order of their numbers.
    """
    encoded = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    encoded = encoded.dictionary_encode()
    return pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int32), encoded.dictionary


def key_sizes(catalogue: pa.Table) -> dict[str, int]:
    """Return how many keys of each kind a catalogue has."""
    creators, categories = (len(codes_of(catalogue[name])[1]) for name in (CREATOR_ID, CATEGORY))
    return dict(zip(KINDS, (catalogue.num_rows, creators, categories, 1), strict=True))


def _padded(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.concatenate([counts, np.zeros((size - len(counts), *counts.shape[1:]), dtype=np.int64)])


def _check(
    words: _Words,
    catalogue: pa.Table,
    arrays: Mapping[str, NDArray[np.float64]],
    counts: Mapping[str, NDArray[np.int64]],
) -> None:
    spec = words.spec
    width = len(count_names([name for name in words.config.rates if name in spec.tasks]))
    if tuple(catalogue.column_names) != _COLUMNS:
        raise ValueError(f"{_ITEMS}: it has columns {catalogue.column_names}, expected {list(_COLUMNS)}")
    for name in ("means", "scales"):
        if arrays[name].shape != (len(spec.numeric),):
            raise ValueError(f"{_NUMBERS}: {name!r} has shape {arrays[name].shape}, expected {(len(spec.numeric),)}")
        check_finite(arrays[name].astype(np.float32), file=_NUMBERS, name=name)
    for kind, size in key_sizes(catalogue).items():
        if counts[kind].shape != (size, len(WINDOWS), width):
            expected = (size, len(WINDOWS), width)
            raise ValueError(f"{_NUMBERS}: counts of {kind!r} have shape {counts[kind].shape}, expected {expected}")
    lengths = {name: len(words.values.get(name, ())) + 1 for name in words.values}
    sizes = dict(zip(spec.categorical, spec.cardinalities, strict=True))
    if any(sizes.get(name) != length for name, length in lengths.items()):
        raise ValueError(f"{_STATE}: vocabularies of {lengths} values do not fit cardinalities {sizes}")
