"""A synthetic world without leaks, and ways to plant one in it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.schema import ITEM_ID, ITEMS, TIMESTAMP, Tables
from recmodels.data.sources import synthetic
from recmodels.evaluation.leakage import Finding, LeakageReport, audit
from recmodels.presets import popularity
from recmodels.recipe import Recipe, override

TIME = popularity()
PAPERS = override(TIME, ["split.kind=leave_one_out"])


@cache
def world() -> Tables:
    return synthetic.read(Path(), users=300, items=200, creators=40, days=21, seed=3)


def audit_of(tables: Tables, recipe: Recipe = TIME) -> LeakageReport:
    return audit(tables.interactions, tables.items, tables.users, recipe=recipe, is_order_only=tables.is_order_only)


def found(report: LeakageReport, name: str) -> Finding:
    return next(finding for finding in report.findings if finding.name == name)


def cut_of(tables: Tables) -> datetime:
    """The first moment of the test part of `TIME`: four fifths of all rows lie before it."""
    moments = np.sort(tables.interactions[TIMESTAMP].cast(pa.int64()).to_numpy())
    first = int(moments[round(len(moments) * 0.8)])
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=first)


def count_by(tables: Tables, key: str, *, start: datetime | None = None, end: datetime | None = None) -> np.ndarray:
    """Rows of each item or user in a window, in the order of its table."""
    rows, table = tables.interactions, tables.items if key == ITEM_ID else tables.users
    if start is not None:
        rows = rows.filter(pc.greater_equal(rows[TIMESTAMP], pa.scalar(start, rows[TIMESTAMP].type)))
    if end is not None:
        rows = rows.filter(pc.less(rows[TIMESTAMP], pa.scalar(end, rows[TIMESTAMP].type)))
    places = pc.index_in(rows[key].combine_chunks(), value_set=table[key].combine_chunks()).to_numpy()
    return np.bincount(places, minlength=table.num_rows)


def with_user_column(tables: Tables, name: str, values: np.ndarray) -> Tables:
    column = pa.array([None if value is None else str(value) for value in values.tolist()], pa.string())
    return replace(tables, users=tables.users.append_column(name, column))


def with_item_column(tables: Tables, name: str, values: pa.Array) -> Tables:
    return replace(tables, items=tables.items.set_column(ITEMS.get_field_index(name), ITEMS.field(name), values))


def renamed(tables: Tables, key: str, names: dict[str, str]) -> Tables:
    """Give items or users other ids."""

    def rename(table: pa.Table) -> pa.Table:
        ids = pa.array([names[one] for one in table[key].to_pylist()], pa.string())
        return table.set_column(table.schema.get_field_index(key), table.schema.field(key), ids)

    attribute = "items" if key == ITEM_ID else "users"
    return replace(tables, interactions=rename(tables.interactions), **{attribute: rename(getattr(tables, attribute))})
