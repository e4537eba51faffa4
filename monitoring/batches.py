"""What is asked of one table: its rows sifted, and each rule as a check on a batch of rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from monitoring.checkpoint import Batch, Check, columns_of
from monitoring.conformity import Conformed, conform
from monitoring.own_suites import CATALOGUE, Suites
from monitoring.quarantine import Broken, Sifted, quarantine, sift
from monitoring.suite import Expectation, Failure, Question, Suite, Unjudged, ValidationContext

_COLUMN_SET: Final = "expect_table_columns_to_match_set"
_IN_SET: Final = "expect_column_values_to_be_in_set"
_QUARANTINED: Final = "is quarantined"


@dataclass(frozen=True)
class Prepared:
    """One table, ready to be checked.

    Attributes:
        name: Name of the table.
        rows: How many rows were given.
        good: The rows that keep every row-level rule.
        quarantined: The others, in the schema `QUARANTINE`.
        is_quarantined: (R,) bool, True where a row is among the others.
        reasons: How many rows each row-level rule keeps back.
        batches: The checks on the schema, on all rows and on the good rows.
        warnings: What does not stop the lifecycle, and should be known.
    """

    name: str
    rows: int
    good: pa.Table
    quarantined: pa.Table
    is_quarantined: NDArray[np.bool_]
    reasons: Mapping[str, int]
    batches: tuple[Batch, ...]
    warnings: tuple[Failure, ...]


def prepare(table: pa.Table, *, name: str, context: ValidationContext, suites: Suites = CATALOGUE) -> Prepared:
    """Sift one table by its row-level rules, and turn every rule of its suite into a check.

    Raises:
        UnknownNameError: No suite has this name.
    """
    suite = suites.build(name, context)
    conformed = conform(table, suite.schema)
    sifted = sift(conformed.table, suite, usable=conformed.usable)
    good = _good_rows(conformed, sifted, suite)
    table_batch, unjudged = _table_batch(name, good, suite, conformed.usable)
    batches = [_schema_batch(name, conformed, suite), table_batch]
    if table.num_rows:
        batches.insert(1, _rows_batch(name, conformed.table, sifted, context.config.quarantined_share_maximum))
    return Prepared(
        name=name,
        rows=table.num_rows,
        good=good,
        quarantined=quarantine(conformed.table, sifted, name=name, at=context.now or context.as_of),
        is_quarantined=sifted.is_quarantined,
        reasons={one.rule.reason: one.count for one in sifted.broken if one.count},
        batches=tuple(batches),
        warnings=(*_schema_warnings(name, conformed, suite), *_row_warnings(name, sifted), *unjudged),
    )


def _good_rows(conformed: Conformed, sifted: Sifted, suite: Suite) -> pa.Table:
    good = conformed.table.filter(pa.array(~sifted.is_quarantined))
    if not suite.is_open:
        good = good.drop_columns(list(conformed.further))
    as_agreed = conformed.usable.union(conformed.added)
    fields = [suite.schema.field(f.name) if f.name in as_agreed else f for f in good.schema]
    return pa.Table.from_arrays(good.columns, schema=pa.schema(fields))


def _schema_batch(name: str, conformed: Conformed, suite: Suite) -> Batch:
    required = [f.name for f in suite.schema if not f.nullable]
    columns = Check(
        expectation=Expectation(_COLUMN_SET, {"column_set": required, "exact_match": False}),
        column="",
        expected=f"the columns {', '.join(required)}",
        advice="Map the missing column in the source.",
        stops=True,
    )
    types = tuple(
        Check(
            expectation=Expectation(_IN_SET, {"column": column, "value_set": [conformed.wanted[column]]}),
            column=column,
            expected=f"the type {conformed.wanted[column]}",
            advice="A column of type null holds no value at all: check its mapping."
            if kind == "null"
            else "Convert the column where the source is read.",
            stops=True,
        )
        for column, kind in conformed.types.items()
    )
    rows = pa.table({column: pa.array([kind]) for column, kind in conformed.types.items()})
    return Batch(table=name, part="schema", rows=rows, checks=(columns, *types))


def _rows_batch(name: str, table: pa.Table, sifted: Sifted, share_maximum: float) -> Batch:
    checks = [_row_check(one, share_maximum) for one in sifted.broken]
    derived: dict[str, np.ndarray] = {b.rule.holds: ~b.mask for b in sifted.broken if b.rule.native is None}
    derived[_QUARANTINED] = sifted.is_quarantined.astype(np.float64)
    share = Check(
        expectation=Expectation(
            "expect_column_mean_to_be_between", {"column": _QUARANTINED, "max_value": share_maximum}
        ),
        column="",
        expected=f"at most {share_maximum:.1%} of the rows quarantined",
        advice="Look into the quarantine and repair the source, or raise quarantined_share_maximum.",
        stops=True,
        seen=_quarantined_words(sifted),
    )
    checks.append(share)
    return Batch(table=name, part="rows", rows=_columns_for(checks, table, derived), checks=tuple(checks))


def _row_check(broken: Broken, share_maximum: float) -> Check:
    rule = broken.rule
    native = rule.native or Expectation(_IN_SET, {"column": rule.holds, "value_set": [True]})
    return Check(
        expectation=replace(native, kwargs={**native.kwargs, "mostly": 1 - share_maximum}),
        column=rule.column,
        expected=rule.holds,
        advice="The rows are in the quarantine.",
        stops=False,
        title="" if rule.native else f"{rule.holds}, in at least {1 - share_maximum:.1%} of the rows.",
    )


def _table_batch(name: str, good: pa.Table, suite: Suite, usable: frozenset[str]) -> tuple[Batch, tuple[Failure, ...]]:
    checks: list[Check] = []
    unjudged: list[Failure] = []
    derived: dict[str, np.ndarray] = {}
    for rule in suite.table:
        missing = [column for column in rule.needs if column not in usable]
        question = Unjudged(f"{', '.join(missing)} cannot be used") if missing else rule.asks(good)
        if isinstance(question, Unjudged):
            message = f"{_place(name, rule.column)}: {rule.name} was not judged: {question.reason}."
            unjudged.append(Failure(rule.name, rule.column, question.reason, "", message))
        else:
            derived.update(question.columns)
            checks.append(_table_check(rule.column, question, rule.advice))
    return Batch(name, "table", _columns_for(checks, good, derived), tuple(checks)), tuple(unjudged)


def _table_check(column: str, question: Question, advice: str) -> Check:
    return Check(expectation=question.expectation, column=column, expected=question.expected, advice=advice, stops=True)


def _columns_for(checks: Iterable[Check], table: pa.Table, derived: Mapping[str, np.ndarray]) -> pa.Table:
    columns: dict[str, object] = {name: pa.array(values) for name, values in derived.items()}
    for check in checks:
        wanted = columns_of(check.expectation.kwargs)
        columns.update({name: table[name] for name in wanted if name not in columns})
    return pa.table(columns or {"row": pa.array(np.arange(table.num_rows))})


def _quarantined_words(sifted: Sifted) -> str:
    rows = len(sifted.is_quarantined)
    total = int(sifted.is_quarantined.sum())
    parts = [f"{b.rule.reason} ({'all' if b.count == rows else b.count})" for b in sifted.broken if b.count]
    return f"{total / rows:.1%} of {rows}" + (f": {'; '.join(parts)}" if parts else "")


def _row_warnings(name: str, sifted: Sifted) -> tuple[Failure, ...]:
    rows = len(sifted.is_quarantined)
    quarantined = [
        Failure(
            expectation=(b.rule.native or Expectation(_IN_SET, {})).type,
            column=b.rule.column,
            observed=f"{b.count} of {rows}",
            expected=b.rule.holds,
            message=f"{_place(name, b.rule.column)}: {b.count} of {rows} rows quarantined: {b.rule.reason}.",
        )
        for b in sifted.broken
        if b.count
    ]
    return tuple(quarantined)


def _schema_warnings(name: str, conformed: Conformed, suite: Suite) -> tuple[Failure, ...]:
    added, further = ", ".join(conformed.added), ", ".join(() if suite.is_open else conformed.further)
    absent = Failure(_COLUMN_SET, "", f"no {added}", added, f"{name}: not given, filled with null: {added}.")
    unknown = Failure(
        _COLUMN_SET, "", further, f"no {further}", f"{name}: no part of the contract, left out: {further}."
    )
    return (*((absent,) if added else ()), *((unknown,) if further else ()))


def _place(name: str, column: str) -> str:
    return f"{name}.{column}" if column else name
