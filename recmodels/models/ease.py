"""EASE: a linear model from items to items, in closed form; strong on small catalogues."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import linalg, sparse

from recmodels.errors import TrainingError
from recmodels.models import ModelConfig
from recmodels.models._neighbours import blocks, incidence, strongest, with_special_entries
from recmodels.scorers import ItemItemScorer
from recmodels.training.data import TrainingData

_GIGABYTE = 10**9
_MATRICES = 2  # the Gram matrix, and its inverse in the same memory beside one copy that LAPACK makes


def forecast_bytes(num_items: int) -> int:
    """Return the memory that fitting takes, in bytes: N x N numbers of 8 bytes, twice."""
    return _MATRICES * 8 * num_items**2


class Model:
    """Scores items by a history times a matrix B that reconstructs the training histories without using the diagonal.

    With X (U, N) and P the inverse of X'X + lambda I, B is -P divided by P's diagonal, column by column, and 0 on the
    diagonal. Source: Steck 2019, equation 8. We keep only the largest weights of each row.
    """

    class Config(ModelConfig):
        """Settings of EASE."""

        regularisation: float = Field(200.0, gt=0)
        """lambda, in users."""
        neighbours: int = Field(1000, ge=1)
        """Weights of largest magnitude kept for each item of a history."""
        history_length: int = Field(0, ge=0)
        """Only the last so many events of a history count when it is scored; 0 for all."""
        memory_gigabytes: float = Field(4.0, gt=0)
        """Fitting is refused when its forecast is above this."""

    def __init__(self, config: Config, vocabulary_size: int) -> None:
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.weights = sparse.csr_array((vocabulary_size, vocabulary_size), dtype=np.float32)

    def fit(self, data: TrainingData) -> Self:
        """Invert the regularised Gram matrix.

        Raises:
            TrainingError: The forecast of memory is above `Config.memory_gigabytes`.
        """
        users = incidence(data.train, self.vocabulary_size)  # (U, N)
        _check_memory(users.shape[1], self.config.memory_gigabytes)
        self.weights = table_of(inverse_gram(users, self.config.regularisation), self.config)
        return self

    def export(self) -> ItemItemScorer:
        """Return the table of weights."""
        return ItemItemScorer(self.weights, self.config.history_length)


def table_of(inverse: NDArray[np.float64], config: Model.Config) -> sparse.csr_array:
    """Return what is served of an inverse Gram matrix (N, N): the strongest weights of each row, (V, V) CSR."""
    diagonal = np.diagonal(inverse).copy()
    num_items = len(inverse)
    parts = []
    for rows in blocks(num_items, num_items):
        weights = (-inverse[rows] / diagonal).astype(np.float32)  # (n, N)
        weights[np.arange(len(weights)), np.arange(rows.start, rows.stop)] = 0
        parts.append(strongest(weights, config.neighbours))
    return with_special_entries(sparse.vstack(parts, format="csr"))


def inverse_gram(users: sparse.csc_array, regularisation: float) -> NDArray[np.float64]:
    """Return the inverse of X'X + lambda I, (N, N) symmetric, of who consumed what, X (U, N)."""
    gram: NDArray[np.float64] = (users.T @ users).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    factor, info = linalg.lapack.dpotrf(gram, lower=True, overwrite_a=True)
    assert info == 0, "a Gram matrix plus a positive diagonal is positive definite"
    inverse, info = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    assert info == 0, "a Cholesky factor has no zero on its diagonal"
    lower = np.tril(inverse)
    symmetric: NDArray[np.float64] = lower + np.tril(lower, -1).T
    return symmetric


def _check_memory(num_items: int, limit_gigabytes: float) -> None:
    forecast = forecast_bytes(num_items) / _GIGABYTE
    if forecast > limit_gigabytes:
        raise TrainingError(
            f"ease on {num_items} items needs {forecast:.1f} GB for matrices of {num_items} x {num_items}; "
            f"memory_gigabytes allows {limit_gigabytes:g}. Raise data.minimum_item_interactions, raise "
            f"model.config.memory_gigabytes where the machine has it, or choose item_knn."
        )
