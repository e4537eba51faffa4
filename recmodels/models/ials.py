"""iALS: factors of users and items by alternating least squares on yes-or-no feedback."""

import logging
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.errors import TrainingError
from recmodels.factors import FactorScorer
from recmodels.models import ModelConfig
from recmodels.scorers import item_matrix
from recmodels.training.data import TrainingData

_GIGABYTE = 10**9

logger = logging.getLogger(__name__)


def forecast_bytes(num_users: int, num_items: int, num_events: int, factors: int) -> int:
    """Return the memory that fitting takes, in bytes: factors once and as a copy, the matrix by rows and by columns."""
    return 2 * 4 * factors * (num_users + num_items) + 2 * 8 * num_events


class Model:
    """Scores an item by the inner product of its factors with those that explain a history.

    Source: Hu, Koren and Volinsky 2008, computed by the package `implicit`; only its item factors are kept. The same
    equation gives the factors of a history when it is served. That regularisation and size decide about iALS: Rendle,
    Krichene, Zhang and Koren 2022.
    """

    class Config(ModelConfig):
        """Settings of iALS."""

        factors: int = Field(64, ge=1)
        """D, size of every vector."""
        regularisation: float = Field(10.0, gt=0)
        """lambda, added to the diagonal of every least squares system."""
        confidence: float = Field(10.0, ge=1)
        """How much more an event counts than its absence."""
        iterations: int = Field(15, ge=1)
        """Times that users and items are solved for."""
        history_length: int = Field(0, ge=0)
        """Only the last so many events of a history count when it is scored; 0 for all."""
        memory_gigabytes: float = Field(4.0, gt=0)
        """Fitting is refused when its forecast is above this."""

    def __init__(self, config: Config, vocabulary_size: int) -> None:
        self.config = config
        self.item_factors: NDArray[np.float32] = np.zeros((vocabulary_size, config.factors), dtype=np.float32)

    def fit(self, data: TrainingData) -> Self:
        """Solve for users and items in turn, on one thread, so that the same data gives the same bits.

        Raises:
            TrainingError: The forecast of memory is above `Config.memory_gigabytes`.
        """
        users = _users(data.train, data.vocabulary.size)
        _check_memory(users, self.config)
        self.item_factors[FIRST_ITEM:] = _factorise(users, self.config, seed=data.seed)
        return self

    def export(self) -> FactorScorer:
        """Return the item factors with what a history's factors are solved by."""
        config = self.config
        return FactorScorer(self.item_factors, config.regularisation, config.confidence, config.history_length)


def _users(histories: Histories, vocabulary_size: int) -> sparse.csr_array:
    """Return which catalogue item is in which history, (B, N); repeats count once."""
    return item_matrix(histories, vocabulary_size)[:, FIRST_ITEM:].tocsr()


def _factorise(users: sparse.csr_array, config: Model.Config, *, seed: int) -> NDArray[np.float32]:
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # sums differ in their last bits with the number of threads
        fitted = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularisation,
            alpha=config.confidence,
            iterations=config.iterations,
            random_state=seed,
            num_threads=1,
            use_gpu=False,
            use_cg=False,
        )
        fitted.fit(sparse.csr_matrix(users), show_progress=False)
    factors: NDArray[np.float32] = fitted.item_factors
    return factors


def _check_memory(users: sparse.csr_array, config: Model.Config) -> None:
    num_users, num_items = users.shape
    forecast = forecast_bytes(num_users, num_items, users.nnz, config.factors) / _GIGABYTE
    if forecast > config.memory_gigabytes:
        raise TrainingError(
            f"ials with {config.factors} factors for {num_users} users and {num_items} items needs {forecast:.1f} GB; "
            f"memory_gigabytes allows {config.memory_gigabytes:g}. Lower model.config.factors, or raise "
            "model.config.memory_gigabytes where the machine has it."
        )
    logger.info("ials is forecast to take %.2f GB", forecast)
