"""Small pools with a known answer."""

import numpy as np

from recmodels.reranking.chain import Chain, Reranked
from recmodels.reranking.config import RerankingConfig
from recmodels.reranking.facts import MISSING, Facts
from recmodels.reranking.pool import Pool
from recmodels.safety import SafetyPolicy

FIRST = 2
"""Column of the first candidate; the two special columns come before it."""


def some_facts(
    count: int,
    *,
    creators: list[int] | None = None,
    categories: list[list[int]] | None = None,
    ages: list[float] | None = None,
    counts: list[int] | None = None,
    vectors: np.ndarray | None = None,
) -> Facts:
    width = max([1, *(len(row) for row in categories or [])])
    table = np.full((count + FIRST, width), MISSING, np.int32)
    for row, numbers in enumerate(categories or []):
        table[row + FIRST, : len(numbers)] = numbers
    return Facts(
        creators=np.array([MISSING] * FIRST + (creators or [MISSING] * count), np.int32),
        categories=table,
        ages=np.array([np.nan] * FIRST + (ages or [np.nan] * count)),
        counts=np.array([0] * FIRST + (counts or [1000] * count), np.int64),
        vectors=None
        if vectors is None
        else np.vstack([np.zeros((FIRST, vectors.shape[1])), vectors]).astype(np.float32),
    )


def a_pool(scores: list[float], facts: Facts | None = None, *, retrieved: int | None = None, **fields: object) -> Pool:
    """Candidates 0, 1, ... in the columns 2, 3, ..., with their scores."""
    count = len(scores)
    given = {
        "labels": np.zeros(count, np.int8),
        "is_on_shelf": np.ones(count, np.bool_),
        "history": np.zeros(0, np.int32),
    } | fields
    return Pool(
        columns=np.arange(FIRST, FIRST + count, dtype=np.int32),
        scores=np.array(scores, np.float32),
        num_retrieved=count if retrieved is None else retrieved,
        facts=facts or some_facts(count),
        **given,
    )


def a_chain(*stages: object, policy: SafetyPolicy | None = None) -> Chain:
    """A chain of stages, each a name or a name with its configuration."""
    listed = [{"name": one} if isinstance(one, str) else {"name": one[0], "config": one[1]} for one in stages]
    return Chain(RerankingConfig.model_validate({"stages": listed}), policy)


def shown(reranked: Reranked) -> list[int]:
    """The candidates of a list by their number."""
    return (reranked.columns - FIRST).tolist()
