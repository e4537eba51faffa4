"""What a ranker says of exposures, and how far that is from what came of them; NumPy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of N exposures.

    Attributes:
        logits: (N, T), one column a task of the spec.
        watch: (N,) expected seconds; NaN where nothing predicts them.
    """

    logits: NDArray[np.float32]
    watch: NDArray[np.float32]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(N, T)."""
        probabilities: NDArray[np.float32] = 1 / (1 + np.exp(-self.logits.clip(-60, 60)))
        return probabilities


def log_loss(labels: NDArray[np.float32], probabilities: NDArray[np.float32]) -> float:
    """Return the mean over the tasks of their mean log loss over known labels; NaN where no label is known.

    Args:
        labels: (N, T), NaN where not known.
        probabilities: (N, T).
    """
    sure = probabilities.astype(np.float64).clip(1e-7, 1 - 1e-7)
    losses = -np.where(labels > 0.5, np.log(sure), np.log(1 - sure))
    is_known = np.isfinite(labels)
    counts = is_known.sum(axis=0)
    means = np.where(is_known, losses, 0.0).sum(axis=0)[counts > 0] / counts[counts > 0]
    return float(means.mean()) if len(means) else float("nan")
