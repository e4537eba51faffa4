"""What the shadow stage is judged on: the terms agreed before it, and what both models answered meanwhile."""

import math
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ShadowConfig(BaseModel):
    """The terms of the shadow stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_requests: int = Field(500, ge=1)
    """Requests answered by both models before the stage can end well, and before a threshold is read."""
    minimum_seconds: float = Field(600, ge=0)
    """The stage lasts at least this long."""
    deadline_seconds: float = Field(86_400, gt=0)
    """The stage lasts at most this long; whatever is open then is rolled back."""
    stale_seconds: float = Field(900, gt=0)
    """Silence that holds the stage."""
    alpha: float = Field(0.001, gt=0, lt=0.5)
    """Chance that a share at its limit ever rolls back, for each of errors, late and short answers."""
    error_share: float = Field(0.01, gt=0, lt=1)
    """Share of the requests that may fail."""
    late_share: float = Field(0.01, gt=0, lt=1)
    """Share of the requests that may take longer than a model may."""
    short_share: float = Field(0.01, gt=0, lt=1)
    """Share of the lists that may be shorter than the champion's."""
    slow_floor_seconds: float = Field(0.1, ge=0)
    """Latency that is never slow."""
    slow_factor: float = Field(2.0, ge=1)
    """The 99th percentile may be so many times the champion's; the median may be the champion's 99th percentile."""
    coverage_share: float = Field(0.05, ge=0)
    """Distinct items of the challenger, at least, as a share of the champion's on the same requests. On ML-100K, 1000
    requests: 0.10 for popularity beside EASE, the least of all pairs of popularity, item_knn, EASE and SASRec."""
    minimum_overlap: float = Field(0.05, ge=0, le=1)
    """Mean share of the champion's list that is in the challenger's, too. Below it, two models that both passed the
    gate do not speak of the same items: swapped ids, or another vocabulary. On the same requests: 0.15 for popularity
    beside SASRec, the least of those pairs; at most 0.03 for EASE with its ids swapped beside any of them. Large
    catalogues agree on less; 0 asks nothing."""


@dataclass(frozen=True)
class ShadowEvidence:
    """What both models answered to the same requests since the stage began.

    Attributes:
        requests: Requests compared.
        errors: The challenger failed, or could not be loaded.
        late: It took longer than a model may.
        non_finite: It gave a score that is not a finite number.
        blocked: Items in its lists that may not be shown.
        short: Lists without an error that are shorter than what was shown.
        overlap_mean: Mean share of the items shown that its lists hold, too; NaN without any.
        distinct_items: Different items in its lists.
        champion_distinct_items: Different items that were shown.
        median_seconds: Median of its time to a list; NaN without any.
        p99_seconds: The 99th percentile of the same.
        champion_p99_seconds: The champion's.
        first_at: The first request compared, or None.
        newest_at: The newest one, or None.
    """

    requests: int
    errors: int = 0
    late: int = 0
    non_finite: int = 0
    blocked: int = 0
    short: int = 0
    overlap_mean: float = math.nan
    distinct_items: int = 0
    champion_distinct_items: int = 0
    median_seconds: float = math.nan
    p99_seconds: float = math.nan
    champion_p99_seconds: float = math.nan
    first_at: datetime | None = None
    newest_at: datetime | None = None
