"""Item neighbours: items that the same users consumed, by cosine similarity."""

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recmodels.models import ModelConfig
from recmodels.models._neighbours import blocks, incidence, strongest, with_special_entries
from recmodels.scorers import ItemItemScorer
from recmodels.training.data import TrainingData


class Model:
    """Scores an item by the sum of its similarities to the items of a history.

    The similarity of items i and j, consumed by the users U_i and U_j, is |U_i and U_j| / (sqrt(|U_i| |U_j|) + s).
    Source: Sarwar, Karypis, Konstan and Riedl 2001, section 3.1.1, on yes-or-no feedback; the shrinkage s is ours to
    keep pairs that few users saw from ranking high.
    """

    class Config(ModelConfig):
        """Settings of item neighbours."""

        neighbours: int = Field(100, ge=1)
        """Most similar items kept for each item."""
        shrinkage: float = Field(0.0, ge=0)
        """Added to the denominator, in users."""
        history_length: int = Field(0, ge=0)
        """Only the last so many events of a history count when it is scored; 0 for all."""

    def __init__(self, config: Config, vocabulary_size: int) -> None:
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.weights = sparse.csr_array((vocabulary_size, vocabulary_size), dtype=np.float32)

    def fit(self, data: TrainingData) -> Self:
        """Compute the similarities block by block and keep the nearest neighbours of each item."""
        users = incidence(data.train, self.vocabulary_size)  # (U, N)
        self.weights = table_of(lambda rows: users[:, rows].T @ users, users.sum(axis=0), self.config)
        return self

    def export(self) -> ItemItemScorer:
        """Return the table of neighbours."""
        return ItemItemScorer(self.weights, self.config.history_length)


def table_of(
    together_of: Callable[[slice], sparse.csr_array], counts: NDArray[np.float32], config: Model.Config
) -> sparse.csr_array:
    """Return what is served: the most similar items of each item, (V, V) CSR.

    Args:
        together_of: Gives for rows of items how many users consumed each pair, (n, N) float32; whole numbers, which
            are exact below 2**24.
        counts: (N,) float32, users who consumed each item.
        config: The model's settings.
    """
    num_items = len(counts)
    norms = np.sqrt(counts)
    parts = []
    for rows in blocks(num_items, num_items):
        together = together_of(rows).toarray()  # (n, N)
        together[np.arange(len(together)), np.arange(rows.start, rows.stop)] = 0
        denominator = norms[rows, None] * norms + config.shrinkage
        similarity = np.divide(together, denominator, out=np.zeros_like(together), where=denominator > 0)
        parts.append(strongest(similarity, config.neighbours))
    return with_special_entries(sparse.vstack(parts, format="csr"))
