"""What an evaluation says of fairness: gaps between groups of users, and what groups of items are shown."""

import math
from dataclasses import dataclass, field
from typing import Final

from recmodels.evaluation.bootstrap import Interval

OWN_METRICS: Final = ("popularity_lift", "calibration_kl", "creator_gini", "exposure_", "gap_")
"""How the metrics begin that are told under fairness."""
LOWER_IS_BETTER: Final = ("calibration_kl",)
"""How the metrics begin, of those with a value a user, of which less is better."""


@dataclass(frozen=True)
class Exposure:
    """How much of what people are shown falls on a group of items.

    Attributes:
        exposure: Mean over users of the share of their slots.
        lower: Lower end of its interval.
        upper: Upper end.
        consumption: Share of the training interactions.
        catalogue: Share of the items of the catalogue.
    """

    exposure: float
    lower: float
    upper: float
    consumption: float
    catalogue: float

    @property
    def ratio(self) -> float:
        """Exposure over consumption: below 1, the lists give the group less than people took; NaN without any."""
        return self.exposure / self.consumption if self.consumption > 0 else math.nan


@dataclass(frozen=True)
class Gap:
    """The largest difference of a metric between two groups of users.

    Attributes:
        metric: The metric.
        best: Group with the highest mean, such as ``"activity=heavy"``.
        worst: Group with the lowest mean.
        best_value: Its mean.
        worst_value: Its mean.
        difference: Best minus worst.
        lower: Lower end of an interval that holds for every pair of groups at once, since the pair was chosen by the
            same data.
        upper: Upper end.
        num_groups: Groups that were compared.
    """

    metric: str
    best: str
    worst: str
    best_value: float
    worst_value: float
    difference: float
    lower: float
    upper: float
    num_groups: int


@dataclass(frozen=True)
class Fairness:
    """What an evaluation says of fairness.

    Attributes:
        top_k: Length of the lists; 0 where nothing was measured.
        exposure: Of each group of items, such as ``"creators=small"`` and ``"items=new"``.
        gaps: By kind of group, such as ``"activity"``.
    """

    top_k: int = 0
    exposure: dict[str, Exposure] = field(default_factory=dict)
    gaps: dict[str, Gap] = field(default_factory=dict)


@dataclass(frozen=True)
class Draws:
    """How intervals are made.

    Attributes:
        samples: Bootstrap samples over users.
        confidence: Coverage of an interval.
        seed: Of the draws.
    """

    samples: int
    confidence: float
    seed: int


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of fairness that are no means over queries.

    Attributes:
        metrics: By name, such as ``"popularity_lift_at_10"``.
        intervals: Of each that has one.
        fairness: The records that the figures come from.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    fairness: Fairness
