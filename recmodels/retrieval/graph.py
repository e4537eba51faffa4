"""Approximate search over item vectors: FAISS's graph of near items, kept as plain arrays that are checked when read.

FAISS is imported where it is used: 13 MB that a process without a graph does without. Its own file format is not used:
its reader does not return from some files that were tampered with, and it would keep the vectors a second time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from recmodels.arrays import is_tame, read_arrays
from recmodels.data.vocabulary import FIRST_ITEM, PADDING
from recmodels.retrieval.config import RetrievalConfig

GRAPH = "graph.safetensors"
"""File of a graph in a scorer's folder."""

_NUMBERS = ("entry", "links", "ef_search")


@dataclass(frozen=True, eq=False)
class ItemGraph:
    """A graph of items in which near ones are linked (HNSW).

    Every vector gets one component more that makes all equally long, so that the largest inner product is the smallest
    distance. Source: Bachrach and others 2014, section 3. On the inner product itself the same graph finds less, and
    hardly more when it is searched longer, since long vectors are near to everything.

    Attributes:
        vectors: (N, D) float32 of the items alone, without the two special entries.
        levels: (N,) int32, in how many layers of the graph each item stands.
        neighbors: int32 links of the items, one after the other and layer by layer; -1 where there are fewer.
        entry: Where a search starts.
        links: Links an item in each layer; twice as many in the lowest.
        ef_search: Candidates of a search.
    """

    vectors: NDArray[np.float32]
    levels: NDArray[np.int32]
    neighbors: NDArray[np.int32]
    entry: int
    links: int
    ef_search: int
    _graph: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import faiss

        graph = _empty_graph(self.vectors, self.links)
        _check(self, most_levels=graph.hnsw.cum_nneighbor_per_level.size() - 1)
        faiss.copy_array_to_vector(self.levels, graph.hnsw.levels)
        faiss.copy_array_to_vector(_offsets(self.levels, self.links).astype(np.uint64), graph.hnsw.offsets)
        faiss.copy_array_to_vector(self.neighbors, graph.hnsw.neighbors)
        graph.hnsw.entry_point, graph.hnsw.max_level = self.entry, int(self.levels[self.entry]) - 1
        graph.storage.add(_equally_long(self.vectors))
        graph.ntotal = len(self.vectors)
        object.__setattr__(self, "_graph", graph)

    @classmethod
    def build(cls, vectors: NDArray[np.float32], config: RetrievalConfig) -> "ItemGraph":
        """Link the items, in one thread, so that the same vectors give the same graph.

        Args:
            vectors: (N, D) of the items alone; N at least 1.
            config: Of the graph.
        """
        import faiss

        graph = _empty_graph(vectors, config.hnsw_m)
        graph.hnsw.efConstruction = config.ef_construction
        with one_thread():
            graph.add(_equally_long(vectors))
        hnsw = graph.hnsw
        levels, neighbors = faiss.vector_to_array(hnsw.levels), faiss.vector_to_array(hnsw.neighbors)
        return cls(vectors, levels, neighbors, int(hnsw.entry_point), config.hnsw_m, config.ef_search)

    def search(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        """Return items near each query, (B, count) int32 item indices in no promised order; 0 where there are fewer.

        Args:
            queries: (B, D) finite.
            count: How many; a search considers at least as many candidates.
        """
        import faiss

        longer = np.zeros((len(queries), queries.shape[1] + 1), dtype=np.float32)
        longer[:, :-1] = queries
        settings = faiss.SearchParametersHNSW(efSearch=max(self.ef_search, count))  # type: ignore[attr-defined]
        with one_thread():
            _, found = self._graph.search(longer, count, params=settings)
        return np.where(found >= 0, found + FIRST_ITEM, PADDING).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the graph without the vectors; equal graphs write equal bytes."""
        numbers = np.array([getattr(self, name) for name in _NUMBERS], dtype=np.int64)
        save_file({"levels": self.levels, "neighbors": self.neighbors, "numbers": numbers}, folder / GRAPH)

    @classmethod
    def load(cls, folder: Path, vectors: NDArray[np.float32]) -> "ItemGraph":
        """Read what `save` wrote.

        Raises:
            ValueError: The file holds no graph over these vectors.
        """
        arrays = read_arrays(
            folder / GRAPH, {"levels": (np.int32, 1), "neighbors": (np.int32, 1), "numbers": (np.int64, 1)}
        )
        numbers = arrays["numbers"].tolist()
        if len(numbers) != len(_NUMBERS):
            raise ValueError(f"{GRAPH}: it holds {len(numbers)} numbers, expected {', '.join(_NUMBERS)}")
        return cls(vectors, arrays["levels"], arrays["neighbors"], **dict(zip(_NUMBERS, numbers, strict=True)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep FAISS to this thread: it is a number of the calling thread, put back after the call, and of nobody else."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _empty_graph(vectors: NDArray[np.float32], links: int) -> Any:
    if not 2 <= links <= 256:
        raise ValueError(f"{GRAPH}: {links} links an item, expected 2 to 256")
    import faiss

    return faiss.IndexHNSWFlat(vectors.shape[1] + 1, links, faiss.METRIC_L2)


def _equally_long(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    squares = np.einsum("nd,nd->n", vectors, vectors)
    rest = np.sqrt(squares.max(initial=0) - squares)
    return np.concatenate([vectors, rest[:, None]], axis=1)


def _offsets(levels: NDArray[np.int32], links: int) -> NDArray[np.int64]:
    """Return where the links of each item start, and where the last ones end, (N + 1,)."""
    return np.concatenate([[0], np.cumsum(links * (levels.astype(np.int64) + 1))])


def _check(graph: ItemGraph, *, most_levels: int) -> None:
    """Refuse a graph in which a search would leave the arrays: FAISS follows links without looking.

    Raises:
        ValueError: It says what is wrong.
    """
    count, levels, neighbors = len(graph.vectors), graph.levels, graph.neighbors
    if not is_tame(graph.vectors):
        raise ValueError(f"{GRAPH}: the vectors are too long for a graph")
    if len(levels) != count:
        raise ValueError(f"{GRAPH}: {len(levels)} levels for {count} items")
    if not 0 <= graph.entry < count or not 1 <= levels.min() <= levels.max() == levels[graph.entry] <= most_levels:
        raise ValueError(f"{GRAPH}: a search cannot start at {graph.entry} with levels to {levels.max(initial=0)}")
    if not 1 <= graph.ef_search <= 2**20:
        raise ValueError(f"{GRAPH}: {graph.ef_search} candidates of a search, expected 1 to {2**20}")
    offsets = _offsets(levels, graph.links)
    if len(neighbors) != offsets[-1]:
        raise ValueError(f"{GRAPH}: {len(neighbors)} links, expected {offsets[-1]}")
    place = np.arange(len(neighbors)) - np.repeat(offsets[:-1], np.diff(offsets))
    layer = np.maximum(place // graph.links - 1, 0)  # the lowest layer has twice the room
    if neighbors.min(initial=-1) < -1 or neighbors.max(initial=-1) >= count:
        raise ValueError(f"{GRAPH}: links lead to items from {neighbors.min()} to {neighbors.max()} of {count}")
    linked = neighbors >= 0
    if (levels[neighbors[linked]] <= layer[linked]).any():
        raise ValueError(f"{GRAPH}: a link leads to an item that does not stand in its layer")
