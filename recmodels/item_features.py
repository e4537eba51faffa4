"""What a model may know of its items beside their ids: the labels and the text of a catalogue, as numbers."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.content import CONTENT, ContentConfig
from recmodels.content._contract import TextEncoder
from recmodels.content._hashing import Letters
from recmodels.data.schema import CATEGORY, CREATOR_ID, TEXT

_MOST_LABELS = 8


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """The content of some items, row by row.

    Attributes:
        labels: (M, 8) int64 buckets of the item's creator and categories from 1 on; 0 where there are fewer.
        texts: (M, T) float32 vectors of length 1, zeros where nothing is written; T is 0 without a text encoder.
    """

    labels: NDArray[np.int64]
    texts: NDArray[np.float32]


class ItemReader:
    """Turns rows of items into features, with whatever is learned from a catalogue.

    The same catalogue gives the same reader, and a bundle holds its catalogue: new items can be read for it later.

    Args:
        config: What is read.
        catalogue: Schema `ITEMS`; its texts tell what is common and what is rare.
    """

    def __init__(self, config: ContentConfig, catalogue: pa.Table) -> None:
        self.config = config
        self.encoder: TextEncoder | None = None
        if config.text is not None:
            self.encoder = CONTENT.build(config.text, config.text_config).fit(_column(catalogue, TEXT))

    def read(self, items: pa.Table) -> ItemFeatures:
        """Return the features of items, schema `ITEMS`."""
        labels = _labels(items, self.config.label_buckets)
        if self.encoder is None:
            return ItemFeatures(labels, np.zeros((len(items), 0), dtype=np.float32))
        return ItemFeatures(labels, self.encoder.encode(_column(items, TEXT)))


def _labels(items: pa.Table, buckets: int) -> NDArray[np.int64]:
    creators, categories = _column(items, CREATOR_ID), _column(items, CATEGORY)
    lists = pc.split_pattern(pc.fill_null(categories, ""), pattern="|")
    names = pc.utf8_trim_whitespace(pc.list_flatten(lists))
    rows = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    rows, names = np.concatenate([np.arange(len(items)), rows]), pa.concat_arrays([pc.fill_null(creators, ""), names])
    salts = np.repeat([0, 1], [len(items), len(rows) - len(items)])
    letters = Letters(names)
    spans = letters.whole()
    hashes = np.where(salts == 0, letters.hashes(spans, salt=0), letters.hashes(spans, salt=1))
    said = np.flatnonzero(spans.ends > spans.starts)
    order = said[np.argsort(rows[said], kind="stable")]  # the creator first, then categories as they are listed
    owner = rows[order]
    place = np.arange(len(order)) - np.searchsorted(owner, owner)
    kept = place < _MOST_LABELS
    labels = np.zeros((len(items), _MOST_LABELS), dtype=np.int64)
    labels[owner[kept], place[kept]] = (hashes[order[kept]] % np.uint64(buckets)).astype(np.int64) + 1
    return labels


def _column(items: pa.Table, name: str) -> pa.Array:
    column = items[name].cast(pa.string())
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
