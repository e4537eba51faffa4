"""What a suite of expectations is made of, and the plain facts that it is written against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Column: TypeAlias = pa.Array | pa.ChunkedArray


class QualityConfig(BaseModel):
    """Limits of the expectations; every default was checked against ML-100K and KuaiRand-Pure."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    quarantined_share_maximum: float = Field(0.05, ge=0, le=1)
    """Largest share of rows that may be quarantined before the lifecycle stops."""
    skew_seconds: float = Field(300.0, ge=0)
    """How far a clock may be ahead: later timestamps are in the future."""
    freshness_days: float = Field(2.0, gt=0)
    """Largest age of the newest event at `as_of`, in days."""
    watch_ratio_maximum: float = Field(100.0, gt=0)
    """Most times an item can be watched in one sitting. KuaiRand's real replays reach 63 times the duration."""
    null_share_maximum: float = Field(0.5, ge=0, le=1)
    """Largest share of nulls in a column that the run depends on."""
    volume_days: int = Field(28, ge=7)
    """Days before the newest complete day that its row volume is compared with."""
    volume_minimum_days: int = Field(7, ge=7)
    """Fewest days of history on which a volume is judged: one of each weekday."""
    volume_minimum_rows: int = Field(1000, ge=1)
    """Fewest rows of a median day on which a volume is judged; below it real days differ tenfold (ML-100K)."""
    volume_low: float = Field(0.5, ge=0, le=1)
    """A day with fewer than this share of the smallest recent day stops the lifecycle."""
    volume_high: float = Field(3.0, ge=1)
    """A day with more than this multiple of the largest recent day stops the lifecycle."""


@dataclass(frozen=True)
class ValidationContext:
    """What is known outside of the table that is validated.

    Attributes:
        as_of: The moment that counts as now for the data: the clock for live traffic, the last event of a file source.
        now: When the validation runs, written into quarantined rows; None means `as_of`.
        item_ids: Known item ids, a string column; None leaves references to items unjudged.
        user_ids: Known user ids; None leaves references to users unjudged.
        request_ids: Known request ids; None leaves references to requests unjudged.
        daily_rows: Rows a UTC day by table name, from the lake; the days of the validated table are added to them.
        kept_rows: Rows a UTC day by table name that stay in the lake beside those of the validated table.
        rating_range: Smallest and largest rating of the source; None asks for a finite number only.
        label_columns: Nullable columns that the run cannot do without, such as the recipe's label.
        config: The limits.
    """

    as_of: datetime
    now: datetime | None = None
    item_ids: Column | None = None
    user_ids: Column | None = None
    request_ids: Column | None = None
    daily_rows: Mapping[str, Mapping[date, int]] = field(default_factory=dict)
    kept_rows: Mapping[str, Mapping[date, int]] = field(default_factory=dict)
    rating_range: tuple[float, float] | None = None
    label_columns: tuple[str, ...] = ()
    config: QualityConfig = field(default_factory=QualityConfig)

    def __post_init__(self) -> None:
        if self.as_of.tzinfo is None or (self.now is not None and self.now.tzinfo is None):
            raise ValueError(f"as_of {self.as_of!r} and now {self.now!r} must carry a time zone, such as UTC.")

    @property
    def latest(self) -> datetime:
        """The latest timestamp that is not in the future."""
        return self.as_of + timedelta(seconds=self.config.skew_seconds)

    @property
    def oldest_newest(self) -> datetime:
        """The moment after which a fresh table has at least one event."""
        return self.as_of - timedelta(days=self.config.freshness_days)


@dataclass(frozen=True)
class Failure:
    """One expectation that was not met, or could not be judged.

    Attributes:
        expectation: Its name in Great Expectations.
        column: The column that it is about; empty for the whole table.
        observed: What was seen.
        expected: What was expected.
        message: Both in a sentence, with what to do.
    """

    expectation: str
    column: str
    observed: str
    expected: str
    message: str


@dataclass(frozen=True)
class Expectation:
    """One expectation in Great Expectations' own words.

    Attributes:
        type: Its snake-case name, such as ``"expect_column_values_to_not_be_null"``.
        kwargs: Its arguments.
    """

    type: str
    kwargs: Mapping[str, object]


@dataclass(frozen=True)
class RowRule:
    """A rule that each row keeps by itself; a row that breaks it is quarantined, and the others go on.

    Attributes:
        column: The column that it is about.
        reason: What is wrong with a row that breaks it, as written into the quarantine.
        holds: What is true of a row that keeps it: heading of the Data Docs where no native expectation exists.
        needs: Columns without which it is not judged.
        breaks: Table of R rows -> (R,) bool, True where a row breaks it.
        native: The same rule as an expectation on the column itself; None where only our own mask can tell.
    """

    column: str
    reason: str
    holds: str
    needs: tuple[str, ...]
    breaks: Callable[[pa.Table], NDArray[np.bool_]]
    native: Expectation | None = None


@dataclass(frozen=True)
class Question:
    """What a table-level rule asks of one table.

    Attributes:
        expectation: The expectation that answers it.
        expected: The same in words, with the numbers.
        columns: Columns that the expectation needs beside the table's own, each of R values.
    """

    expectation: Expectation
    expected: str
    columns: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)


@dataclass(frozen=True)
class Unjudged:
    """Why a table-level rule cannot be judged on one table."""

    reason: str


@dataclass(frozen=True)
class TableRule:
    """A rule about the good rows together; breaking it stops the lifecycle before training.

    Attributes:
        name: What it is called where it could not be judged, such as ``"row volume"``.
        column: The column that it is about; empty for the whole table.
        needs: Columns without which it is not judged.
        asks: Good rows -> the question to ask, or why it cannot be judged.
        advice: What to do when it is broken.
    """

    name: str
    column: str
    needs: tuple[str, ...]
    asks: Callable[[pa.Table], Question | Unjudged]
    advice: str


@dataclass(frozen=True)
class Suite:
    """The expectations of one table.

    Attributes:
        schema: Columns and types of the contract; columns beyond it are kept, and named in a warning unless
            `is_open`.
        key: Columns that name a row: a row that repeats an earlier one's key is quarantined.
        rows: Row-level rules.
        table: Table-level rules, beside those on the schema and the quarantined share, which every suite has.
        is_open: Further columns belong here, such as attributes of users.
    """

    schema: pa.Schema
    key: tuple[str, ...]
    rows: tuple[RowRule, ...]
    table: tuple[TableRule, ...]
    is_open: bool = False
