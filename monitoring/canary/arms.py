"""What the judge is given: the users of both arms, when they were seen, and the terms agreed before the rollout."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitoring.canary.shadow_terms import ShadowConfig

Floats: TypeAlias = NDArray[np.float64]

GUARDRAILS = ("error", "slow", "short", "fallback", "hidden")
"""Request failed; slower than the champion's p99 and than `slow_floor_seconds`; empty or short slate; fallback answer;
an item hidden or reported."""

DEMONSTRATION_BELOW = 1000
"""Fewer users an arm than this make the confidence sequence's normal approximation a demonstration."""


@dataclass(frozen=True)
class ArmUnits:
    """The users of one arm since the rollout began, one entry a user, matured impressions only.

    A returning user has one entry whose sums have grown. Fallback answers stay in their arm (intent to treat).

    Attributes:
        impressions: Items shown to each user, (U,).
        reward: Reward of those items summed, (U,): clicks, or watch seconds.
        covariate: The user's own rate before the rollout, (U,); NaN where there is no history. None for no CUPED.
        flags: Guardrail -> the user met it at least once, (U,) each. These need no label, so they are not delayed.
        requests: Requests answered or failed.
        request_errors: Requests failed.
        non_finite: Answers that held a non-finite score.
        blocked: Blocked items shown.
    """

    impressions: Floats
    reward: Floats
    covariate: Floats | None = None
    flags: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    requests: int = 0
    request_errors: int = 0
    non_finite: int = 0
    blocked: int = 0

    def __post_init__(self) -> None:
        """Refuse arrays that are not one entry a user."""
        columns = {"reward": self.reward, **self.flags}
        if self.covariate is not None:
            columns["covariate"] = self.covariate
        for name, column in columns.items():
            if column.shape != self.impressions.shape:
                raise ValueError(
                    f"arm column {name!r} has shape {column.shape}, expected {self.impressions.shape}: "
                    "give one entry a user in every column."
                )

    @property
    def users(self) -> int:
        """Users with at least one matured impression."""
        return int(np.count_nonzero(self.impressions > 0))


@dataclass(frozen=True)
class Evidence:
    """Everything known about a rollout at one look.

    The arms hold the whole rollout, not the current step alone: canary and control are of equal size at every step, so
    pooling the steps is unbiased, and a test that started afresh at each step would spend its alpha as often.

    Attributes:
        canary: Users served by the challenger.
        control: Users of the concurrent control, served by the champion.
        assigned_canary: Users assigned to the canary and seen at least once, matured or not.
        assigned_control: The same of the control.
        newest_at: Time of the newest request that reached the store; None when there is none.
        step_started_at: When the current step began.
        deadline_at: When the current step must have ended.
    """

    canary: ArmUnits
    control: ArmUnits
    assigned_canary: int
    assigned_control: int
    newest_at: datetime | None
    step_started_at: datetime
    deadline_at: datetime


class CanaryConfig(BaseModel):
    """The terms of a rollout, fixed before it begins.

    The chance that a model as good as the champion is rolled back is at most `alpha` plus `guardrail_alpha` for each
    guardrail, however often one looks: 0.045 by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[float, ...] = Field((0.01, 0.05, 0.25, 0.5), min_length=1)
    """Shares of the canary, rising; the control is as large. Only the last one can promote."""
    minimum_users: int = Field(1000, ge=2)
    """Users an arm before the primary metric is read; fewer than 1000 is a demonstration and the words say so."""
    minimum_step_seconds: float = Field(3600, ge=0)
    """A step lasts at least this long."""
    deadline_seconds: float = Field(7 * 86400, gt=0)
    """A step lasts at most this long."""
    alpha: float = Field(0.02, gt=0, lt=0.5)
    """Chance that the primary metric ever rolls back an equal model."""
    promotion_alpha: float = Field(0.02, gt=0, lt=0.5)
    """Chance that a model worse by exactly `delta` is ever promoted."""
    delta: float = Field(0.05, gt=0, lt=1)
    """Non-inferiority margin, as a share of the control's ratio."""
    tolerance: float = Field(0.0, ge=0, lt=1)
    """Loss that does not roll back, as a share of the control's ratio."""
    tuned_users: int = Field(20_000, ge=10)
    """Users, both arms together, at which the confidence sequence is tightest. Valid at any other number as well."""
    guardrails: tuple[str, ...] = GUARDRAILS
    """Guardrails that must be measured. A missing one holds the rollout."""
    slow_floor_seconds: float = Field(0.1, ge=0)
    """An answer within this time is never slow: beside a champion that only reads a list, every model that computes
    would otherwise be rolled back for milliseconds that nobody feels."""
    guardrail_alpha: float = Field(0.005, gt=0, lt=0.5)
    """Chance that one guardrail ever rolls back an equal model."""
    srm_alpha: float = Field(0.001, gt=0, lt=0.5)
    """Chance that the sample-ratio check ever holds a sound experiment."""
    label_window_seconds: float = Field(1800, ge=0)
    """Time after which an impression has matured, clicked or not."""
    stale_seconds: float = Field(900, gt=0)
    """Silence that holds the rollout."""
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    """What happens at the deadline when nothing was decided. There is no third choice."""
    reward: str = "clicked"
    """Outcome that is summed into the reward."""
    reward_cap: float | None = Field(None, gt=0)
    """Winsorising cap of the reward of one impression, in the reward's unit; None for yes-or-no rewards."""
    shadow: ShadowConfig | None = ShadowConfig()
    """Terms of the stage before the first step, in which the challenger answers unseen; None for none."""
    requires_approval: bool = False
    """What would be promoted is held until a person promotes it: `everfeed canary promote`."""
    use_covariate: bool = True
    """Reduce variance by the users' own earlier rate (CUPED) where both arms have it."""

    @field_validator("steps")
    @classmethod
    def _steps_rise(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < share <= 0.5 for share in steps) or list(steps) != sorted(set(steps)):
            raise ValueError(
                f"steps {steps!r} must rise and lie in (0, 0.5]: the concurrent control is as large as the canary."
            )
        return steps

    @property
    def is_demonstration(self) -> bool:
        """Whether the primary metric is read on fewer users than its normal approximation wants."""
        return self.minimum_users < DEMONSTRATION_BELOW

    @property
    def false_rollback_budget(self) -> float:
        """Bound on the chance that an equal model is ever rolled back, over all rules and looks."""
        return self.alpha + self.guardrail_alpha * len(self.guardrails)
