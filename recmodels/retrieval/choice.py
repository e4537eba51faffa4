"""Which search a bundle gets: exact, or a graph that was found to find the same items."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.retrieval.config import RetrievalConfig, RetrievalReport
from recmodels.retrieval.exact import top_columns
from recmodels.retrieval.graph import ItemGraph

_RECALL_AT = 100
_ROWS = 16  # queries that are compared with all items at once


@dataclass(frozen=True, eq=False)
class Choice:
    """The search of a bundle.

    Attributes:
        graph: None for exact search.
        report: What the manifest says of it.
    """

    graph: ItemGraph | None
    report: RetrievalReport


def exact_for(num_items: int) -> Choice:
    """Return exact search, where the recipe wants no graph."""
    return Choice(None, RetrievalReport(kind="exact", words=f"All {num_items} items are compared."))


def choose(vectors: NDArray[np.float32], config: RetrievalConfig, *, queries: NDArray[np.float32]) -> Choice:
    """Build the graph that a recipe wants, and keep exact search where it finds too little.

    Args:
        vectors: (N, D) float32 of the items alone, without the two special entries.
        config: Of the recipe.
        queries: (Q, D) encoded histories that the recall is measured with; at least one.
    """
    graph = ItemGraph.build(vectors, config)
    expected = np.concatenate(
        [top_columns(queries[start : start + _ROWS] @ vectors.T, _RECALL_AT) for start in range(0, len(queries), _ROWS)]
    )
    expected += FIRST_ITEM
    recall = 0.0
    for part in (8, 4, 2, 1):
        graph = replace(graph, ef_search=max(1, config.ef_search // part))
        recall = _recall(graph.search(queries, expected.shape[1]), expected)
        found = f"HNSW finds {recall:.4f} of the best {expected.shape[1]} of {len(vectors)} items"
        if recall >= config.recall_floor:
            words = f"{found} with {graph.ef_search} candidates; the floor is {config.recall_floor}."
            return Choice(
                graph, RetrievalReport(kind="hnsw", recall_at_100=recall, ef_search=graph.ef_search, words=words)
            )
    words = f"{found} with {graph.ef_search} candidates, below the floor of {config.recall_floor}: all are compared."
    return Choice(None, RetrievalReport(kind="exact", recall_at_100=recall, words=words))


def _recall(found: NDArray[np.int32], expected: NDArray[np.int32]) -> float:
    """Return the share of the expected items that were found, to four digits."""
    size = int(max(found.max(), expected.max())) + 1
    rows = np.arange(len(found))[:, None] * size
    return round(float(np.isin(rows + expected, rows + found).mean()), 4)
