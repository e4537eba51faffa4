"""What every check returns, and the plain facts that the policy and the alerts work on."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final

COUNTS_ROWS: Final = "counts_rows"
"""Detail, 1.0, of a figure that counts rows: more or fewer of them are nothing that a model could learn."""
BAND_SPREADS: Final = 2.0
"""Half the width of the band around what a figure's past predicts, in its day-to-day spreads."""
OUTLIVES_MODEL: Final = "outlives_model"
"""Detail, 1.0, of a figure whose level is people's and not a model's: under a new one it is expected back."""


class Status(StrEnum):
    """Outcome of a check. `insufficient` and `learning` are states of their own, never "no drift"."""

    OK = "ok"
    DRIFT = "drift"
    LEARNING = "learning"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True)
class Finding:
    """What a person is told of a figure that moved, in parts.

    Attributes:
        seen: What moved, by how much, since when; a sentence.
        cause: The likely cause, without an end mark.
        action: What is proposed; a sentence.
    """

    seen: str
    cause: str
    action: str

    def sentences(self) -> str:
        """Return it as one text."""
        return f"{self.seen} Likely cause: {self.cause}. Proposed: {self.action}"


@dataclass(frozen=True)
class FigureHistory:
    """A figure on its newest days, D of them, and the band that its own past allowed on each; None for unknown.

    Attributes:
        days: Oldest first.
        values: (D,) the figure.
        centre: (D,) what its past predicted.
        lower: (D,) the prediction less `BAND_SPREADS` of its day-to-day spreads.
        upper: (D,) the prediction and as many.
    """

    days: tuple[date, ...]
    values: tuple[float | None, ...]
    centre: tuple[float | None, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]


@dataclass(frozen=True)
class CheckResult:
    """What one check found about one figure.

    Attributes:
        figure: Name of the figure, such as ``"rating_mean"``.
        family: What incidents are grouped by: ``"data"``, ``"population"``, ``"catalogue"``, ``"model"`` or
            ``"serving"``.
        status: The decision.
        value: The figure in the current window; None when it cannot be computed.
        expected: The level its own history predicts; None while it is learning.
        size: Deviation in units of the figure's own day-to-day spread, signed; None while it is learning.
        since: First day of the deviation.
        slice: The part of the data it is about, such as ``"surface=live"``; empty for all.
        message: What moved, by how much, since when, in a sentence, and what is proposed.
        details: Further numbers for the record.
        finding: The message of a figure that moved, in parts; None for others, and in what earlier versions stored.
        history: Its newest days, for whoever draws them; no part of what the result says.
    """

    figure: str
    family: str
    status: Status
    value: float | None = None
    expected: float | None = None
    size: float | None = None
    since: datetime | None = None
    slice: str = ""
    message: str = ""
    details: dict[str, float] = field(default_factory=dict)
    finding: Finding | None = None
    history: FigureHistory | None = field(default=None, compare=False, repr=False)
