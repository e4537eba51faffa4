"""What the rollout store keeps: its tables, and the records that it takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from pydantic import JsonValue
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
)

from infra.columns import BigKey, Moment, metadata

champions = Table(
    "champions",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("digest", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("since", Moment, nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column("rollout_id", String),
    Column("by", String, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("rollout_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("active", Integer, unique=True),  # 1 while it can change, else null: never two at once
    Column("digest", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("champion_digest", String, nullable=False),
    Column("champion_version", Integer, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("step", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("salt", String, nullable=False),
    Column("fencing", Integer, nullable=False),
    Column("config", JSON, nullable=False),
    Column("cause", String, nullable=False),
    Column("is_forced", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("step_started_at", Moment, nullable=False),
    Column("deadline_at", Moment),
)

rollout_transitions = Table(
    "rollout_transitions",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("rollout_id", String, ForeignKey("rollouts.rollout_id"), nullable=False, index=True),
    Column("fencing", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("rollout_id", String, ForeignKey("rollouts.rollout_id"), nullable=False, index=True),
    Column("step", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("action", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("words", String, nullable=False),
    Column("users_canary", Integer, nullable=False),
    Column("users_control", Integer, nullable=False),
    Column("estimate", Float),
    Column("lower", Float),
    Column("upper", Float),
    Column("relative", Float),
    Column("e_values", JSON, nullable=False),
)

serving = Table(
    "serving",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("champion_digest", String, nullable=False),
    Column("champion_version", Integer, nullable=False),
    Column("challenger_digest", String),
    Column("challenger_version", Integer),
    Column("share", Float, nullable=False),
    Column("salt", String, nullable=False),
    Column("rollout_id", String),
    Column("step", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed_at", Moment, nullable=False),
)


class RolloutState(StrEnum):
    """Where a rollout stands."""

    SHADOW = "shadow"
    """The challenger answers the same requests unseen; its share is 0."""
    RUNNING = "running"
    """The challenger serves its share."""
    HELD = "held"
    """Frozen at its share until a person decides, or the deadline rolls it back."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


ACTIVE_STATES = (RolloutState.SHADOW, RolloutState.RUNNING, RolloutState.HELD)


@dataclass(frozen=True)
class ModelReference:
    """A model as it is served: the digest of its bundle, and its version number in the model registry."""

    digest: str
    version: int


@dataclass(frozen=True)
class Champion:
    """Who serves, and why."""

    digest: str
    version: int
    since: datetime
    reason: str
    rollout_id: str | None
    by: str


@dataclass(frozen=True)
class Rollout:
    """One challenger on its way.

    Attributes:
        champion: Who served when the rollout began, and serves the control.
        steps: Share of the canary at each step, rising, each in (0, 0.5].
        step: Index into `steps`; -1 in the shadow stage.
        share: Share of the canary now.
        fencing: Token that the next change must carry; every change makes a new one.
        config: The canary's configuration as JSON.
        cause: What made it start, such as ``"lifecycle"`` or ``"drift: rating_mean"``.
        is_forced: The gate refused the model and somebody forced it through.
    """

    rollout_id: str
    state: RolloutState
    challenger: ModelReference
    champion: ModelReference
    steps: tuple[float, ...]
    step: int
    share: float
    salt: str
    fencing: int
    config: Mapping[str, JsonValue]
    cause: str
    is_forced: bool
    created_at: datetime
    updated_at: datetime
    step_started_at: datetime
    deadline_at: datetime | None

    @property
    def is_active(self) -> bool:
        """Whether it can still change."""
        return self.state in ACTIVE_STATES


@dataclass(frozen=True)
class Plan:
    """How a rollout is to go.

    Attributes:
        rollout_id: Key of the rollout; starting the same one twice changes nothing.
        challenger: The model to try.
        steps: Share of the canary at each step, rising, each in (0, 0.5].
        config: The canary's configuration as JSON, kept with the rollout.
        cause: What made it start.
        is_forced: The gate refused the model and somebody forces it through.
        is_shadow: Begin with the shadow stage.
        deadline_at: When the first stage must be over; None for no deadline.
        salt: Salt of the assignment; empty for a new random one.
    """

    rollout_id: str
    challenger: ModelReference
    steps: tuple[float, ...]
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    cause: str = ""
    is_forced: bool = False
    is_shadow: bool = False
    deadline_at: datetime | None = None
    salt: str = ""

    def __post_init__(self) -> None:
        pairs = pairwise((0.0, *self.steps))
        if not self.steps or any(not a < b <= 0.5 for a, b in pairs):
            raise ValueError(
                f"steps {self.steps!r} must rise and lie in (0, 0.5]: the control is as large as the canary."
            )


@dataclass(frozen=True)
class RecordedVerdict:
    """One look of the judge, as it is kept; figures that could not be computed are None."""

    at: datetime
    step: int
    action: str
    rule: str
    words: str
    users_canary: int
    users_control: int
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    relative: float | None = None
    e_values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Transition:
    """One change of a rollout: to which state, when, by whom and why."""

    rollout_id: str
    fencing: int
    state: RolloutState
    step: int
    share: float
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True)
class Serving:
    """What a gateway serves.

    Attributes:
        champion: Serves everybody outside the canary; None before the first champion.
        challenger: Loaded while a rollout is active; serves `share` of the units, or nobody in the shadow stage.
        share: Share of the canary, and of the control.
        salt: Salt of the assignment; empty without a rollout.
        rollout_id: The active rollout, or None.
        step: Step of the active rollout; -1 without one and in the shadow stage.
        state: State of the active rollout, or the empty string.
        revision: Grows by one with every change, so that a poller compares one number.
        changed_at: When it last changed; None before the first champion.
    """

    champion: ModelReference | None = None
    challenger: ModelReference | None = None
    share: float = 0.0
    salt: str = ""
    rollout_id: str | None = None
    step: int = -1
    state: str = ""
    revision: int = 0
    changed_at: datetime | None = None
