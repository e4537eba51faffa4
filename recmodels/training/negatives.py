"""Items that stand for "not this one" in a sampled loss."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recmodels.data.vocabulary import FIRST_ITEM


@dataclass(frozen=True, eq=False)
class Negatives:
    """Sampled items with the correction that makes a loss over them estimate the loss over all.

    Attributes:
        ids: (S,) item indices.
        log_q: (S,) logarithm of how often each is expected to stand in the sample; 0 where each item stands in it
            exactly once. A required field: leaving it out lets popular negatives be punished for being drawn.
    """

    ids: Tensor
    log_q: Tensor


def uniform_negatives(count: int, vocabulary_size: int, *, device: torch.device | None = None) -> Negatives:
    """Draw distinct items, each equally likely, from torch's generator.

    Args:
        count: S, at least 1; all items where there are not more.
        vocabulary_size: V, the two special entries included.
        device: Of the result.
    """
    num_items = vocabulary_size - FIRST_ITEM
    size = min(count, num_items)
    ids = torch.randperm(num_items, device=device)[:size] + FIRST_ITEM
    return Negatives(ids, torch.full((size,), math.log(size / num_items), device=device))
