"""Which rows are kept back, why, and how they are written down so that nothing is lost."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.row_rules import repeats
from monitoring.suite import RowRule, Suite
from recmodels.data import schema as columns
from recmodels.data.interactions import connect
from recmodels.errors import DataError

ROW_ID: Final = "row_id"
BATCH: Final = "batch"
_ROW_ID: Final = f'md5(concat_ws(chr(10), "{columns.TABLE}", {columns.REASON}, "{columns.ROW}"))'
_SQL_TYPES: Final = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "int32": "INTEGER",
    str(columns.TIMESTAMP_TYPE): "TIMESTAMPTZ",
}


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
    return keep_back(rows, reasons=_reasons(sifted), name=name, at=at)


def keep_back(rows: pa.Table, *, reasons: pa.Array, name: str, at: datetime) -> pa.Table:
    """Return rows with their reasons in the schema `QUARANTINE`, in the same order."""
    return pa.table(
        {
            columns.TABLE: pa.repeat(pa.scalar(name, pa.string()), rows.num_rows),
            columns.REASON: reasons,
            columns.QUARANTINED_AT: pa.repeat(pa.scalar(at, columns.TIMESTAMP_TYPE), rows.num_rows),
            columns.ROW: _as_json(rows),
        },
        schema=columns.QUARANTINE,
    )


def describe(quarantined: pa.Table) -> pa.Table:
    """Return quarantined rows with `ROW_ID`, `BATCH` and the event id, each row once a batch.

    A row's id says its table, reason and content, so that the same row refused again for the same reason is the same
    row. A batch is the moment of its validation.
    """
    moment = f"strftime({columns.QUARANTINED_AT} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
    query = f"""
        SELECT DISTINCT {", ".join(f'"{name}"' for name in columns.QUARANTINE.names)},
               {_ROW_ID} AS {ROW_ID},
               {moment} AS {BATCH}, {_text_of(columns.EVENT_ID)} AS {columns.EVENT_ID}
        FROM quarantined ORDER BY {BATCH} DESC, {columns.REASON}, {ROW_ID}
    """  # noqa: S608 - names of the contract
    with connect() as connection:
        connection.register("quarantined", quarantined)
        return connection.sql(query).to_arrow_table()


def row_ids(quarantined: pa.Table) -> pa.ChunkedArray:
    """Return the id of each quarantined row, in their order."""
    with connect() as connection:
        connection.register("quarantined", quarantined)
        return connection.sql(f"SELECT {_ROW_ID} AS id FROM quarantined").to_arrow_table()["id"]  # noqa: S608


def read_back(quarantined: pa.Table, *, name: str) -> pa.Table:
    """Return the rows of one table as they were, in the order of the quarantine.

    Args:
        quarantined: Rows in the schema `QUARANTINE`, all of the table `name`.
        name: The table.

    Returns:
        The table's columns, each nullable, then further ones as text where the rows have them.

    Raises:
        DataError: A row is no JSON, so that it was not written by Everfeed.
    """
    contract = columns.TABLES[name]
    with connect() as connection:
        connection.register("quarantined", quarantined.append_column("_place", pa.array(np.arange(len(quarantined)))))
        odd = connection.sql(f'SELECT count(*) AS n FROM quarantined WHERE NOT json_valid("{columns.ROW}")')  # noqa: S608
        if odd_rows := odd.to_arrow_table()["n"][0].as_py():
            raise DataError(f"{odd_rows} of the quarantined rows are no JSON, so they cannot be read. Leave them out.")
        keys = f'SELECT DISTINCT unnest(json_keys("{columns.ROW}")) AS k FROM quarantined ORDER BY k'  # noqa: S608
        further = [key for key in connection.sql(keys).to_arrow_table()["k"].to_pylist() if key not in contract.names]
        kinds = {field.name: _SQL_TYPES[str(field.type)] for field in contract} | dict.fromkeys(further, "VARCHAR")
        values = (f'TRY_CAST({_text_of(key)} AS {kind}) AS "{key}"' for key, kind in kinds.items())
        rows = connection.sql(f"SELECT {', '.join(values)} FROM quarantined ORDER BY _place").to_arrow_table()  # noqa: S608
    fields = [pa.field(field.name, field.type) for field in contract] + [pa.field(key, pa.string()) for key in further]
    return rows.cast(pa.schema(fields))


def _text_of(key: str) -> str:
    """Return the SQL of one value of a row as text; null where the row is no JSON."""
    path = "$." + '"' + key.replace("'", "''") + '"'
    return f"""CASE WHEN json_valid("{columns.ROW}") THEN json_extract_string("{columns.ROW}", '{path}') END"""


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
    with connect() as connection:
        connection.register("quarantined_rows", rows)
        return connection.sql("SELECT to_json(quarantined_rows) AS row FROM quarantined_rows").to_arrow_table()["row"]
