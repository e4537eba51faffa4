"""What a rule is asked about, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from monitoring.canary.arms import ArmUnits, CanaryConfig, Evidence
from monitoring.canary.reading import Reading
from monitoring.canary.verdict import Action

SAMPLE_RATIO = "sample_ratio"


@dataclass(frozen=True)
class Case:
    """One look: the evidence, what was computed from it, and the terms.

    Attributes:
        evidence: What was observed.
        step: Index of the current step.
        config: The terms.
        now: When the look is taken.
        reading: The primary metric; None where the evidence holds what is not a number, or no users.
        log_e: Guardrail, or ``"sample_ratio"``, -> log e-value.
    """

    evidence: Evidence
    step: int
    config: CanaryConfig
    now: datetime
    reading: Reading | None
    log_e: dict[str, float]

    @property
    def is_last_step(self) -> bool:
        """Whether promotion is possible."""
        return self.step == len(self.config.steps) - 1

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has come."""
        return self.now >= self.evidence.deadline_at

    def has_lasted(self, seconds: float) -> bool:
        """Whether the step has lasted this long."""
        return self.now - self.evidence.step_started_at >= timedelta(seconds=seconds)


@dataclass(frozen=True)
class Finding:
    """What a rule found: the action, the rule's name, and the reason as the first half of a sentence."""

    action: Action
    rule: str
    reason: str


Rule = Callable[[Case], Finding | None]


def is_usable(arm: ArmUnits) -> NDArray[np.bool_]:
    """Return, for each user of an arm, (U,), whether impressions and reward are finite and not negative."""
    is_finite = np.isfinite(arm.impressions) & np.isfinite(arm.reward)
    return np.asarray(is_finite & (np.nan_to_num(arm.impressions) >= 0) & (np.nan_to_num(arm.reward) >= 0))


def unusable(case: Case, rule: str, reason: str) -> Finding:
    """Hold on evidence that says nothing; at the deadline roll back."""
    if case.is_overdue:
        return Finding(Action.ROLLBACK, rule, f"{reason}, and the deadline has come")
    return Finding(Action.HOLD, rule, reason)
