"""What the chain and its stages know of each other; NumPy only."""

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from recmodels.reranking.pool import Draft, Pool


class StageConfig(BaseModel):
    """Base of a stage's nested `Config`: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(Protocol):
    """One step from candidates to a list."""

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return a new order of a pool's candidates.

        Args:
            pool: The candidates and what is known of them.
            draft: The order so far; what it does not hold must not be shown, and at least one candidate is in it.
            k: Length of the list; what stands behind it is only a reserve for the stages that follow.
        """
        ...


class StageClass(Protocol):
    """A plug-in's ``Stage``: built from its own `Config`."""

    Config: ClassVar[type[StageConfig]]

    def __call__(self, config: StageConfig) -> Stage:
        """Return the stage."""
        ...


def ordered(draft: Draft, values: NDArray[np.float64]) -> Draft:
    """Return the draft with its candidates by value, (C,), the highest first; ties keep their order."""
    order = draft.order
    return Draft(order[np.argsort(-values[order], kind="stable")], draft.values)


def led_by(draft: Draft, chosen: list[int]) -> Draft:
    """Return the draft with chosen candidates first, and the others behind them as they were."""
    order, count = draft.order, len(chosen)
    is_left = np.ones(len(draft.values), dtype=np.bool_)
    is_left[chosen] = False
    led = np.empty_like(order)
    led[:count] = chosen
    led[count:] = order[is_left[order]]
    return Draft(led, draft.values)
