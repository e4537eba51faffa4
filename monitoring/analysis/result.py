"""What an analysis returns: sentences, one table, pictures of it, and how it was made, for people to read."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Group(StrEnum):
    """The parts of the report, in their order."""

    TRENDS = "What is changing"
    PREFERENCES = "What people like"
    BEHAVIOUR = "What people do"


class Kind(StrEnum):
    """How the values of a column are written."""

    TEXT = "text"
    COUNT = "count"
    SHARE = "share"
    """A share of 1, written in percent."""
    NUMBER = "number"
    RATIO = "ratio"
    """A multiple, such as 1.8x."""
    PROBABILITY = "probability"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: Of the column in the data.
        label: What a person reads.
        kind: How its values are written.
    """

    name: str
    label: str
    kind: Kind = Kind.COUNT


@dataclass(frozen=True)
class Dot:
    """An estimate with its interval.

    Attributes:
        label: What it is of.
        value: The estimate.
        lower: Lower end of the interval.
        upper: Upper end.
        is_finding: It stands out.
    """

    label: str
    value: float
    lower: float
    upper: float
    is_finding: bool = False


@dataclass(frozen=True)
class Dots:
    """A picture: one line an estimate, with its interval.

    Attributes:
        title: What is drawn, in words; also for those who do not see it.
        dots: From top to bottom.
        kind: How values are written.
        reference: Where a line is drawn to compare with; None for none.
        is_log: The axis is logarithmic; all values are above 0.
    """

    title: str
    dots: tuple[Dot, ...]
    kind: Kind
    reference: float | None = None
    is_log: bool = False


@dataclass(frozen=True, eq=False)
class Analysis:
    """One section of the report.

    Attributes:
        title: Its heading.
        group: The part of the report that it stands in.
        findings: What was found, a sentence with numbers and intervals each; or why nothing could be.
        method: How, in words.
        table: All figures, of items, topics or segments and never of one user.
        columns: The table's columns, in order.
        charts: Pictures of it.
    """

    title: str
    group: Group
    findings: tuple[str, ...]
    method: str
    table: pa.Table
    columns: tuple[Column, ...] = ()
    charts: tuple[Dots, ...] = ()


def silent(title: str, group: Group, *, because: str, method: str) -> Analysis:
    """Return a section that says why there is nothing to say."""
    return Analysis(title, group, (because,), method, pa.table({}))
