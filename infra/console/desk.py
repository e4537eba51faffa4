"""What the control room is given by the layer above it: judging, alerting, and what reads with another library.

The control room draws and asks; what follows from a verdict, and what an acknowledgement sets off, is decided where the
command line decides it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from infra.rollouts import RecordedVerdict, Rollout


@dataclass(frozen=True)
class Limit:
    """One rule of the judge, the figure that it watches, and where it fires.

    Attributes:
        rule: Name of the rule.
        figure: What is compared.
        value: The figure at the last look; None where the evidence did not allow it.
        limit: Where the rule fires.
        nearness: 0 for no evidence at all, 1 where it fires.
        is_good: The rule promotes; all others end or hold the rollout.
    """

    rule: str
    figure: str
    value: float | None
    limit: float
    nearness: float
    is_good: bool


@dataclass(frozen=True)
class Terms:
    """What a rollout is held to.

    Attributes:
        limits: Every rule with a measured limit, the nearest first.
        next_rule: Name of the rule that is nearest to ending it badly; empty where nothing speaks against it.
        deadline_at: When the step must have ended.
        minimum_users: Users of the smaller arm before the primary figure is read.
        reward: The primary figure.
        delta: How much worse, as a share, still counts as not inferior.
        tolerance: How much worse, as a share, is certainly worse before it is rolled back.
        requires_approval: A person must promote it.
    """

    limits: tuple[Limit, ...]
    next_rule: str
    deadline_at: datetime
    minimum_users: int
    reward: str
    delta: float
    tolerance: float
    requires_approval: bool


@dataclass(frozen=True)
class HeldBack:
    """Quarantined rows of one batch, one table and one reason."""

    batch: str
    table: str
    reason: str
    rows: int
    released: int


@dataclass(frozen=True)
class SilenceWish:
    """A wish that nobody is told about a group for a time; `length` as a person writes it, such as ``2h``."""

    model: str
    family: str
    length: str
    reason: str
    by: str


@dataclass(frozen=True)
class Desk:
    """What the control room cannot do by itself.

    Attributes:
        terms: How near each rule of a rollout was to firing at its newest look; None for a rollout without any.
        next_deadline: When a step that begins now must have ended.
        acknowledge: Take care of an incident (id, who, note); returns what was done, in words.
        silence: Keep a silence; returns what was done, in words.
        unsilence: End the silences of a group (model, family); returns what was done, in words.
        quarantine: Rows that are kept back, the newest batch first.
        families: Figure families that can be silenced.
        learnable: Families of incidents that new data can end.
    """

    terms: Callable[[Rollout, RecordedVerdict | None], Terms]
    next_deadline: Callable[[Rollout, datetime], datetime]
    acknowledge: Callable[[str, str, str], str]
    silence: Callable[[SilenceWish], str]
    unsilence: Callable[[str, str], str]
    quarantine: Callable[[], Sequence[HeldBack]]
    families: tuple[str, ...]
    learnable: frozenset[str]
