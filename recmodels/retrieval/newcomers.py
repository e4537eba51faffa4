"""Items that are younger than the model: each is scored by its creator's items, or by its category's."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.schema import CATEGORY, CREATOR_ID, ITEM_ID
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN
from recmodels.scorers import EncoderScorer, FactorScorer, ItemItemScorer, StaticScorer, is_blank

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True, eq=False)
class Newcomers:
    """New items, and which known items each is scored by.

    Attributes:
        version: Of the segment that the items come from.
        item_ids: (M,) raw ids that the bundle does not know; each once.
        items: Schema `ITEMS`, aligned row by row with `item_ids`.
        groups: (G, V) CSR float32; row g spreads a weight of 1 evenly over the items of one creator or category, or
            over all items. Popular items weigh no more than others.
        group_of: (M,) group of each new item; items of one group score the same.
    """

    version: int
    item_ids: NDArray[np.str_]
    items: pa.Table
    groups: "sparse.csr_array"
    group_of: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def weights(self) -> "sparse.csr_array":
        """The neighbours of each new item, (M, V) CSR; rows sum to 1."""
        return self.groups[self.group_of]

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Where each id stands in `item_ids`."""
        return {item_id: number for number, item_id in enumerate(self.item_ids.tolist())}


def attach(bundle: Bundle, items: pa.Table, *, version: int) -> Newcomers:
    """Find the neighbours of new items in a bundle's catalogue.

    A new item gets the mean score of the items that share its creator; else of those that share its main category;
    else of all. For an encoder and for factors it gets a vector of its own, see `group_vectors`.

    Args:
        bundle: What will score them.
        items: Schema `ITEMS`. Items that the bundle knows already are left out; of rows with the same id the last one
            counts.
        version: Of the segment that the items come from.
    """
    from scipy import sparse

    fresh = _latest(items.filter(pa.array(bundle.vocabulary.encode(items[ITEM_ID]) == UNKNOWN)))
    known, size = bundle.items, bundle.vocabulary.size
    creators = _Label.of(known[CREATOR_ID], fresh[CREATOR_ID], size)
    categories = _Label.of(_main(known[CATEGORY]), _main(fresh[CATEGORY]), size)
    everything = _Label.of(pa.array([""] * len(known), pa.string()), pa.array([""] * len(fresh), pa.string()), size)
    groups = sparse.vstack([creators.means, categories.means, everything.means], format="csr")
    by_category = np.where(categories.row >= 0, categories.row, categories.means.shape[0])
    row = np.where(creators.row >= 0, creators.row, creators.means.shape[0] + by_category)
    used, group_of = np.unique(row, return_inverse=True)
    item_ids = np.array(fresh[ITEM_ID].to_pylist(), dtype=np.str_)
    return Newcomers(version, item_ids, fresh, sparse.csr_array(groups[used]), group_of)


def group_vectors(groups: "sparse.csr_array", item_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a vector for a new item of each group, (G, D): the direction of its items' mean, as long as they are.

    The mean of many vectors is short, and what has a short vector scores high with nobody: on KuaiRand and ML-100K new
    items with bare means reached no list at all. Items whose mean is 0 give 0.

    Args:
        groups: (G, V) weights of the known items in each group; rows sum to 1.
        item_vectors: (V, D) of the known items.
    """
    means = groups @ item_vectors
    short = np.linalg.norm(means, axis=1)
    wanted = groups @ np.linalg.norm(item_vectors, axis=1)
    factors = np.divide(wanted, short, out=np.ones_like(short), where=short > 0)
    vectors: NDArray[np.float32] = (means * factors[:, None]).astype(np.float32)
    return vectors


class NewcomerScores:
    """Scores newcomers without scoring the whole catalogue: what a group is made of is worked out once.

    Args:
        bundle: What scores.
        newcomers: Attached to this bundle.
    """

    def __init__(self, bundle: Bundle, newcomers: Newcomers) -> None:
        self.newcomers = newcomers
        self._bundle = bundle
        scorer, groups = bundle.scorer, newcomers.groups
        self._counts = (groups @ bundle.item_counts).astype(np.float32)  # (G,)
        if isinstance(scorer, EncoderScorer):
            self._vectors = group_vectors(groups, scorer.item_vectors)
        elif isinstance(scorer, FactorScorer):
            self._vectors = group_vectors(groups, scorer.item_factors)
        elif isinstance(scorer, ItemItemScorer):
            self._table = (scorer.weights @ groups.T).tocsr()  # (V, G)
        elif isinstance(scorer, StaticScorer):
            self._static = groups @ scorer.scores  # (G,)

    def of(self, histories: Histories, queries: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the score of every newcomer for every history, (B, M).

        Args:
            histories: B rows of the vocabulary's indices.
            queries: (B, D) where the scorer is an encoder.
        """
        scorer, groups = self._bundle.scorer, self.newcomers.groups
        scores: NDArray[np.float32]  # (B, G)
        if isinstance(scorer, EncoderScorer):
            assert queries is not None, "an encoder's newcomers are scored with queries"
            scores = queries @ self._vectors.T
        elif isinstance(scorer, ItemItemScorer):
            scores = np.where(is_blank(histories)[:, None], self._counts, scorer.sums(histories, self._table))
        elif isinstance(scorer, FactorScorer):
            own = scorer.queries(histories) @ self._vectors.T
            scores = np.where(is_blank(histories)[:, None], self._counts, own)
        elif isinstance(scorer, StaticScorer):
            scores = np.tile(self._static, (len(histories), 1))
        else:
            scores = (groups @ scorer.score(histories).T).T
        return scores[:, self.newcomers.group_of]


@dataclass(frozen=True, eq=False)
class _Label:
    means: "sparse.csr_array"  # (C, V) evenly over the known items of each value
    row: NDArray[np.int64]  # (M,) the value of each new item, -1 where no known item has it

    @classmethod
    def of(cls, known: pa.Array, fresh: pa.Array, size: int) -> "_Label":
        from scipy import sparse

        values = pc.unique(known.drop_null())
        own = pc.fill_null(pc.index_in(known, value_set=values), -1).to_numpy()
        row = pc.fill_null(pc.index_in(fresh, value_set=values, skip_nulls=True), -1).to_numpy()
        columns = np.flatnonzero(own >= 0)
        counts = np.bincount(own[columns], minlength=len(values))
        weights = (1.0 / counts[own[columns]]).astype(np.float32)
        means = sparse.csr_array((weights, (own[columns], columns + FIRST_ITEM)), shape=(len(values), size))
        return cls(means, row.astype(np.int64))


def _main(categories: pa.ChunkedArray) -> pa.Array:
    """Return the first of the names joined by ``|``."""
    return pc.list_element(pc.split_pattern(categories, pattern="|", max_splits=1), 0)


def _latest(items: pa.Table) -> pa.Table:
    ids = items[ITEM_ID].to_pylist()
    rows = sorted({item_id: row for row, item_id in enumerate(ids)}.values())
    return items.take(pa.array(rows, pa.int64()))
