"""Which rows are kept back, why, and how they are written down so that nothing is lost."""

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.row_rules import repeats
from monitoring.suite import RowRule, Suite
from recmodels.data import schema as columns


@dataclass(frozen=True)
class Broken:
    """The rows that break one rule.

    Attributes:
        rule: The rule.
        mask: (R,) bool, True where a row breaks it.
    """

    rule: RowRule
    mask: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many rows break the rule."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class Sifted:
    """A table divided into good and broken rows.

    Attributes:
        broken: Each rule that was judged, the repeated key last.
        is_quarantined: (R,) bool, True where a row breaks any rule.
    """

    broken: tuple[Broken, ...]
    is_quarantined: NDArray[np.bool_]


def sift(table: pa.Table, suite: Suite, *, usable: frozenset[str]) -> Sifted:
    """Find the rows that break a row-level rule.

    A key that repeats is looked for among the rows that break no other rule, so that one good row of each key is kept.
    A rule whose columns are not usable is not judged: the schema's own checks answer for them.

    Args:
        table: R rows.
        suite: The rules.
        usable: Columns that are there with the type of the contract.
    """
    judged = [rule for rule in suite.rows if usable.issuperset(rule.needs)]
    broken = [Broken(rule, rule.breaks(table)) for rule in judged]
    is_quarantined = np.zeros(table.num_rows, np.bool_)
    for one in broken:
        is_quarantined |= one.mask
    if usable.issuperset(suite.key):
        mask = np.zeros(table.num_rows, np.bool_)
        mask[~is_quarantined] = repeats(table.select(suite.key).filter(pa.array(~is_quarantined)), suite.key)
        broken.append(Broken(_once(suite.key), mask))
        is_quarantined |= mask
    return Sifted(broken=tuple(broken), is_quarantined=is_quarantined)


def quarantine(table: pa.Table, sifted: Sifted, *, name: str, at: datetime) -> pa.Table:
    """Return the broken rows in the schema `QUARANTINE`, in the order of the table.

    A row that breaks several rules stands once, its reasons joined by ``"; "``. `row` is the whole row as JSON, with
    ``NaN`` and ``Infinity`` for numbers that are not finite (Python's `json` reads them back).
    """
    rows = table.filter(pa.array(sifted.is_quarantined))
    return pa.table(
        {
            columns.TABLE: pa.repeat(pa.scalar(name, pa.string()), rows.num_rows),
            columns.REASON: _reasons(sifted),
            columns.QUARANTINED_AT: pa.repeat(pa.scalar(at, columns.TIMESTAMP_TYPE), rows.num_rows),
            columns.ROW: _as_json(rows),
        },
        schema=columns.QUARANTINE,
    )


def _once(key: tuple[str, ...]) -> RowRule:
    words = " and ".join(key)
    verb = "repeats" if len(key) == 1 else "repeat"
    return RowRule(
        column=key[0],
        reason=f"{words} {verb} an earlier row",
        holds=f"{words} {verb} no earlier row",
        needs=key,
        breaks=lambda table: repeats(table, key),
    )


def _reasons(sifted: Sifted) -> pa.Array:
    words = [
        pc.if_else(pa.array(one.mask[sifted.is_quarantined]), one.rule.reason, pa.scalar(None, pa.string()))
        for one in sifted.broken
        if one.count
    ]
    if not words:
        return pa.array([], pa.string())
    return pc.binary_join_element_wise(*words, "; ", null_handling="skip")


def _as_json(rows: pa.Table) -> pa.ChunkedArray | pa.Array:
    if not rows.num_rows:
        return pa.array([], pa.string())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("quarantined_rows", rows)
        return connection.sql("SELECT to_json(quarantined_rows) AS row FROM quarantined_rows").to_arrow_table()["row"]
