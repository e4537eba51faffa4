"""What the shadow stage keeps: its table, one comparison of a challenger with the champion, and their sums."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from infra.columns import BigKey, metadata

shadow_answers = Table(
    "shadow_answers",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("request_id", String, nullable=False, unique=True),
    Column("rollout_id", String, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("overlap", Float, nullable=False),
    Column("item_ids", Text, nullable=False),
    Column("champion_item_ids", Text, nullable=False),
    Column("latency_seconds", Float, nullable=False),
    Column("champion_seconds", Float, nullable=False),
    Column("num_requested", Integer, nullable=False),
    Column("num_blocked", Integer, nullable=False),
    Column("is_error", Boolean, nullable=False),
    Column("is_non_finite", Boolean, nullable=False),
    Column("is_late", Boolean, nullable=False),
    Index("ix_shadow_answers_rollout", "rollout_id", "timestamp"),
)


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """What a challenger answered, unseen, to a request that the champion answered.

    Attributes:
        request_id: The request; the same one twice is kept once.
        rollout_id: The rollout in its shadow stage.
        timestamp: When the champion's answer was given.
        overlap: Share of the items shown that the challenger's list holds, too: ``|A & B| / |shown|``.
        item_ids: The challenger's list; empty where it failed or did not come in time.
        champion_item_ids: What was shown.
        latency_seconds: The challenger's time to its list, waiting not counted.
        champion_seconds: The champion's time to its list.
        num_requested: Items that were asked for.
        num_blocked: Items in the challenger's list that may not be shown.
        is_error: The challenger failed, or could not be loaded.
        is_non_finite: It gave a score that is not a finite number.
        is_late: It took longer than a model may.
    """

    request_id: str
    rollout_id: str
    timestamp: datetime
    overlap: float
    item_ids: tuple[str, ...]
    champion_item_ids: tuple[str, ...]
    latency_seconds: float
    champion_seconds: float
    num_requested: int
    num_blocked: int = 0
    is_error: bool = False
    is_non_finite: bool = False
    is_late: bool = False


@dataclass(frozen=True)
class ShadowFigures:
    """What the shadow stage of one rollout saw so far.

    Attributes:
        requests: Comparisons.
        errors: The challenger failed.
        late: It took longer than a model may.
        non_finite: It gave a score that is not a finite number.
        blocked: Items in its lists that may not be shown.
        short: Lists that came in time and are shorter than what was shown.
        overlap_mean: Mean overlap of the lists that came in time with what was shown; NaN without any.
        distinct_items: Different items in the challenger's lists.
        champion_distinct_items: Different items that were shown.
        median_seconds: Median of the challenger's time to a list, without errors; NaN without any.
        p99_seconds: Its 99th percentile.
        champion_p99_seconds: The champion's.
        first_at: The first comparison, or None.
        newest_at: The newest one, or None.
    """

    requests: int
    errors: int
    late: int
    non_finite: int
    blocked: int
    short: int
    overlap_mean: float
    distinct_items: int
    champion_distinct_items: int
    median_seconds: float
    p99_seconds: float
    champion_p99_seconds: float
    first_at: datetime | None
    newest_at: datetime | None
