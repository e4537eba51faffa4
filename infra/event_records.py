"""What the event store keeps: its tables, and the records that it takes and returns."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text, text

from infra.columns import BigKey, Moment, metadata
from recmodels.data.schema import ORIGIN_EVENT

_JUDGED: Final = ("rollout_id", "arm", "user_key", "step")
_IS_JUDGED: Final = text("rollout_id IS NOT NULL")
_REQUEST_FIGURES: Final = (
    "timestamp",
    "num_items",
    "num_requested",
    "num_blocked",
    "is_error",
    "is_fallback",
    "is_non_finite",
    "latency_seconds",
)
_OUTCOME_FIGURES: Final = ("kind", "is_first", "requested_at", "timestamp", "value")

requests = Table(
    "requests",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("request_id", String, nullable=False, unique=True),
    Column("timestamp", BigInteger, nullable=False),
    Column("user_key", String, nullable=False),
    Column("surface", String, nullable=False),
    Column("query", String),
    Column("model_version", String, nullable=False),
    Column("rollout_id", String),
    Column("step", Integer),
    Column("arm", String, nullable=False),
    Column("item_ids", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("propensities", Text, nullable=False),
    Column("num_items", Integer, nullable=False),
    Column("num_requested", Integer, nullable=False),
    Column("num_blocked", Integer, nullable=False),
    Column("is_fallback", Boolean, nullable=False),
    Column("is_error", Boolean, nullable=False),
    Column("is_non_finite", Boolean, nullable=False),
    Column("latency_seconds", Float, nullable=False),
    Column("origin", String, nullable=False),
    Column("batch", Integer),
    Column("segment_version", Integer),
    Index(  # the judge's sums never touch the rows themselves, and rows that nobody judges cost it nothing
        "ix_requests_rollout", *_JUDGED, *_REQUEST_FIGURES, sqlite_where=_IS_JUDGED, postgresql_where=_IS_JUDGED
    ),
    Index("ix_requests_batch", "batch", "timestamp"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("event_id", String, nullable=False, unique=True),
    Column("request_id", String, nullable=False),
    Column("item_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("value", Float, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("is_first", Boolean, nullable=False),
    Column("rollout_id", String),
    Column("step", Integer),
    Column("arm", String, nullable=False),
    Column("user_key", String, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("batch", Integer),
    Index("ix_outcomes_request", "request_id"),
    Index("ix_outcomes_rollout", *_JUDGED, *_OUTCOME_FIGURES, sqlite_where=_IS_JUDGED, postgresql_where=_IS_JUDGED),
    Index("ix_outcomes_batch", "batch"),
)

event_batches = Table(
    "event_batches",
    metadata,
    Column("batch", Integer, primary_key=True),
    Column("before", Moment, nullable=False),
    Column("num_requests", Integer, nullable=False),
    Column("num_outcomes", Integer, nullable=False),
    Column("is_forgotten", Boolean, nullable=False),
)

user_keys = Table(
    "user_keys",
    metadata,
    Column("user_key", String, primary_key=True),
    Column("user_id", String, nullable=False, index=True),
)


def user_key(user_id: str, secret: bytes) -> str:
    """Return the keyed hash that stands for a user outside the database: 32 hexadecimal digits."""
    return hashlib.blake2b(user_id.encode(), digest_size=16, key=hashlib.sha256(secret).digest()).hexdigest()


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One answer of the gateway.

    Attributes:
        request_id: Key of the answer; the same one twice is kept once.
        timestamp: When it was answered.
        user_key: See `user_key`; for an anonymous session, the same function of its id.
        surface: Where it was shown.
        model_version: Version of the model that answered.
        arm: Arm of the unit: ``canary``, ``control`` or ``rest``.
        item_ids: The items in the order shown.
        scores: One score an item; a fallback's scores may be NaN.
        propensities: Probability with which each slot was filled with its item; 1.0 where that was certain.
        num_requested: Items that were asked for.
        latency_seconds: Time to the answer.
        query: Search text, on the search surface only.
        rollout_id: The rollout that was active, or None.
        step: Its step.
        num_blocked: Blocked items among the model's answer.
        is_fallback: Popular items answered in the model's place.
        is_error: The model failed, whether or not the fallback covered for it.
        is_non_finite: The model gave a NaN or infinite score.
        origin: ``event`` for people, ``replay`` for resampled visitors.
        user_id: The raw id, kept in the mapping table only; empty for an anonymous session.
        segment_version: Version of the segment of new items, where the list holds one of them; else None.
    """

    request_id: str
    timestamp: datetime
    user_key: str
    surface: str
    model_version: str
    arm: str
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    num_requested: int
    latency_seconds: float
    query: str | None = None
    rollout_id: str | None = None
    step: int | None = None
    num_blocked: int = 0
    is_fallback: bool = False
    is_error: bool = False
    is_non_finite: bool = False
    origin: str = ORIGIN_EVENT
    user_id: str = ""
    segment_version: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One feedback event on an item shown.

    Attributes:
        event_id: Key of the event; the same one twice is kept once.
        request_id: The answer that showed the item.
        item_id: The item.
        kind: A feedback column's name, such as ``clicked``, or ``watch_seconds``.
        value: 1.0 for yes, 0.0 for no, or seconds.
        timestamp: When it happened.
    """

    event_id: str
    request_id: str
    item_id: str
    kind: str
    value: float
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Visit:
    """Whom a request was answered to, where, when, and whether that was a person."""

    user_key: str
    surface: str
    timestamp: datetime
    origin: str


@dataclass(frozen=True)
class Rejection:
    """An outcome that was not kept, and why."""

    event_id: str
    reason: str


@dataclass(frozen=True)
class OutcomeReceipt:
    """What became of a batch of outcomes: kept, known already, or refused."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True)
class Reward:
    """What is summed as the reward of a unit.

    Attributes:
        kind: Outcome kind.
        cap: Each outcome's value is at most this; None for no cap.
        label_window_seconds: An outcome later than this after its request does not count; None for no limit.
    """

    kind: str
    cap: float | None = None
    label_window_seconds: float | None = None


@dataclass(frozen=True)
class ArmFigures:
    """What one arm of a rollout did; one entry a unit, in the order of `user_keys`.

    Attributes:
        user_keys: (n,) the units, sorted.
        impressions: (n,) items shown in matured requests; 0 for a unit that has none yet.
        reward: (n,) sum of the reward.
        flags: (n,) each: the unit met it at least once: ``error``, ``slow``, ``short``, ``fallback``, ``hidden``.
        requests: All requests of the arm, matured or not, like the next three.
        request_errors: Requests whose model failed.
        non_finite: Requests with a NaN or infinite score.
        blocked: Blocked items in the model's answers.
    """

    user_keys: NDArray[np.str_]
    impressions: NDArray[np.float64]
    reward: NDArray[np.float64]
    flags: dict[str, NDArray[np.bool_]]
    requests: int
    request_errors: int
    non_finite: int
    blocked: int


@dataclass(frozen=True)
class RolloutFigures:
    """What a rollout's two arms did.

    Attributes:
        canary: Served by the challenger.
        control: Served by the champion.
        assigned_canary: Units of the canary with any request, matured or not.
        assigned_control: Units of the control with any request, matured or not.
        newest_at: The newest request of either arm, or None.
        slow_seconds: Latency above which a request is slow: the control's 99th percentile, or the floor where that is
            larger; infinite without a control.
    """

    canary: ArmFigures
    control: ArmFigures
    assigned_canary: int
    assigned_control: int
    newest_at: datetime | None
    slow_seconds: float


@dataclass(frozen=True)
class Drained:
    """Events on their way to the lake, one batch of them; it stays the same until it is forgotten.

    Attributes:
        batch: Number of the batch, growing; hand it to the lake's append, so that a retry appends once.
        impressions: Rows in the schema `IMPRESSIONS`.
        outcomes: Rows in the schema `OUTCOMES`.
    """

    batch: int
    impressions: pa.Table
    outcomes: pa.Table

    @property
    def last_key(self) -> int:
        """The batch's number."""
        return self.batch

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to move."""
        return not self.impressions.num_rows and not self.outcomes.num_rows
