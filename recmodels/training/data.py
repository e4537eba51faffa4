"""What a model learns from; free of torch, so that closed forms are too."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainingData:
    """The training part of a split.

    Attributes:
        train: One row per training user, oldest event first.
        vocabulary: The catalogue at the cutoff; V is its size.
        item_counts: (V,) training interactions of each item.
        until: The cutoff (UTC): no event of `train` is at or after it.
        seed: Of whatever is drawn.
    """

    train: Histories
    vocabulary: Vocabulary
    item_counts: NDArray[np.int64]
    until: datetime
    seed: int = 0
