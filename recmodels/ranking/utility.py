"""One number of what a ranker expects: how much each kind of feedback is worth, which is a release's to say."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recmodels.ranking.examples import TASKS


class Utility(BaseModel):
    """What feedback is worth: u = sum over tasks of w p + watch * s / (s + half), with p probabilities and s seconds.

    The weights are a parameter of the release, not of the model: another set of them re-orders the same predictions.
    The watch term grows with every expected second and stays below its weight, so that no long video buys the list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clicked: float = Field(1.0, ge=0)
    """Worth of a click."""
    long_viewed: float = Field(0.0, ge=0)
    """Worth of a view to near the end."""
    liked: float = Field(0.0, ge=0)
    """Worth of a like."""
    shared: float = Field(0.0, ge=0)
    """Worth of a share."""
    followed: float = Field(0.0, ge=0)
    """Worth of following the creator."""
    commented: float = Field(0.0, ge=0)
    """Worth of a comment."""
    hidden: float = Field(0.0, le=0)
    """Worth of a hide: what is lost by it, 0 or less."""
    watch: float = Field(0.0, ge=0)
    """Worth of watching forever."""
    watch_half_seconds: float = Field(30.0, gt=0)
    """Expected seconds that are worth half of that."""
    retrieval: float = Field(0.0, ge=0)
    """What the candidate that retrieval scores highest gains in the order on the one that it scores lowest, the others
    in proportion. Retrieval saw other sides of the same people, so that both together may know more than either; it is
    no worth of feedback, and what a list tells of an item stays the sum above."""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not any((*(self.weight(task) for task in TASKS), self.watch)):
            raise ValueError(
                "every weight of the utility is 0, so any order is as good as any other. "
                f"Give at least one of {', '.join([*TASKS, 'watch'])} a weight."
            )
        return self

    def weight(self, task: str) -> float:
        """Return the weight of a task, one of `TASKS`."""
        weight: float = getattr(self, task)
        return weight

    def score(
        self, probabilities: NDArray[np.floating], watch: NDArray[np.floating] | None, *, tasks: Sequence[str]
    ) -> NDArray[np.float64]:
        """Return the utility of each exposure, ``(N,)``.

        Args:
            probabilities: ``(N, T)`` calibrated probabilities, in the order of `tasks`.
            watch: ``(N,)`` expected seconds; None where the ranker predicts none. Below 0 counts as 0.
            tasks: What the ranker predicts; without a weight it is not counted.

        Raises:
            ValueError: A weight is given to what the ranker does not predict, the shapes do not fit, or a prediction
                with a weight is not finite.
        """
        self.check(tasks, has_watch=watch is not None)
        if probabilities.ndim != 2 or probabilities.shape[1] != len(tasks):
            raise ValueError(f"probabilities of shape {probabilities.shape} do not fit {len(tasks)} tasks.")
        weights = np.array([self.weight(task) for task in tasks])
        chosen = np.flatnonzero(weights)
        value = np.asarray(probabilities, dtype=np.float64)[:, chosen] @ weights[chosen]
        if self.watch and watch is not None:
            seconds = np.maximum(np.asarray(watch, dtype=np.float64), 0.0)
            value = value + self.watch * (1.0 - self.watch_half_seconds / (seconds + self.watch_half_seconds))
        bad = len(value) - int(np.isfinite(value).sum())
        if bad:
            raise ValueError(f"{bad} of {len(value)} utilities are not finite numbers: a prediction is not one.")
        utility: NDArray[np.float64] = value
        return utility

    def check(self, tasks: Sequence[str], *, has_watch: bool) -> None:
        """Refuse weights on what a ranker does not predict, as when a release is made.

        Raises:
            ValueError: There is such a weight.
        """
        missing = [task for task in TASKS if self.weight(task) and task not in tasks]
        if self.watch and not has_watch:
            missing.append("watch")
        if missing:
            known = ", ".join([*tasks, *(["watch"] if has_watch else [])])
            raise ValueError(
                f"the utility gives {', '.join(missing)} a weight, but the ranker predicts {known}. "
                f"Set the weight to 0, or train on data with this feedback."
            )
