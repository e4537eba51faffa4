"""What the judge answers: one action, the rule that fired, the numbers it fired on, and a sentence."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What happens to the rollout next."""

    CONTINUE = "continue"
    """Keep the share and look again."""
    ADVANCE = "advance"
    """Go to the next step."""
    PROMOTE = "promote"
    """Make the challenger champion."""
    ROLLBACK = "rollback"
    """Set the share to 0 for good."""
    HOLD = "hold"
    """Keep the share, never advance; look again. What was missing may come, a person may decide, the deadline will."""


@dataclass(frozen=True)
class Verdict:
    """One look at a rollout. Numbers are None where the evidence did not allow them to be computed.

    Attributes:
        action: What to do.
        rule: Name of the rule that fired.
        words: One sentence with the numbers, the rule, and what comes next.
        users_canary: Users with matured impressions on the canary.
        users_control: The same on the control.
        ratio_canary: Reward per impression on the canary.
        ratio_control: Reward per impression on the control.
        estimate: Difference of the ratios, canary minus control, adjusted by CUPED where it is used.
        lower: Lower bound of the difference at `promotion_alpha`, read at the margin (see `relative_lower`).
        upper: Upper bound of the difference at `alpha`, read at the tolerance.
        relative: `estimate` as a share of the control's ratio.
        relative_lower: `lower` as a share of the control's ratio; the challenger is not inferior when above -delta.
        relative_upper: `upper` as a share of the control's ratio; rolled back when below -tolerance.
        e_values: Guardrail -> evidence against "not worse than the control"; and ``"sample_ratio"``. Capped at 1e300.
        step: Index of the step that was judged.
        is_demonstration: The primary metric was read on fewer users than its approximation wants.
    """

    action: Action
    rule: str
    words: str
    users_canary: int
    users_control: int
    ratio_canary: float | None = None
    ratio_control: float | None = None
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    relative: float | None = None
    relative_lower: float | None = None
    relative_upper: float | None = None
    e_values: dict[str, float] = field(default_factory=dict)
    step: int = 0
    is_demonstration: bool = False

    def as_record(self) -> dict[str, object]:
        """Return plain values for a row or a JSON document; the action is its string."""
        return {**asdict(self), "action": self.action.value}
