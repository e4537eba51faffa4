"""Whether tables may be trained on: broken rows are quarantined, and a broken table stops the lifecycle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from monitoring.batches import Prepared, prepare
from monitoring.checkpoint import Checked, run_checks
from monitoring.data_docs import Summary, publish
from monitoring.own_suites import CATALOGUE, Suites, load_suites
from monitoring.suite import Failure, QualityConfig, ValidationContext
from recmodels.data.schema import ITEM_ID, ITEMS
from recmodels.errors import ValidationFailedError


@dataclass(frozen=True)
class ValidationReport:
    """What validation found on one table.

    Attributes:
        table: Name of the table.
        passed: No table-level expectation failed, so the good rows may be trained on.
        rows: How many rows were given.
        good: The rows that keep every row-level rule, in their order, with the columns of the contract.
        quarantined: The others, in the schema `QUARANTINE`.
        reasons: How many rows each row-level rule keeps back; a row that breaks two rules counts in both.
        failures: Table-level expectations that failed.
        warnings: Quarantined rows by reason, columns that the contract does not know, rules that were not judged.
        docs: The page of the Data Docs to open first; None when no folder for them was given.
    """

    table: str
    passed: bool
    rows: int
    good: pa.Table
    quarantined: pa.Table
    reasons: Mapping[str, int]
    failures: tuple[Failure, ...]
    warnings: tuple[Failure, ...]
    docs: Path | None


def validate(
    table: pa.Table,
    *,
    name: str,
    context: ValidationContext,
    docs_folder: Path | None = None,
    suites: Suites = CATALOGUE,
) -> ValidationReport:
    """Validate one table against its suite.

    Args:
        table: Rows that claim to be in the contract's schema for `name`; any table is answered with a report.
        name: Name of a module in `monitoring/expectations`.
        context: What is known outside of the table.
        docs_folder: Where the Data Docs and the results as JSON go; files of an earlier run are replaced.
        suites: The suites; those of the catalogue where no other is given.

    Raises:
        UnknownNameError: No suite has this name.
    """
    return validate_tables({name: table}, context=context, docs_folder=docs_folder, suites=suites)[name]


def validate_tables(
    tables: Mapping[str, pa.Table],
    *,
    context: ValidationContext,
    docs_folder: Path | None = None,
    suites: Suites = CATALOGUE,
) -> dict[str, ValidationReport]:
    """Validate several tables in one run of Great Expectations, with one site of Data Docs.

    Where `items` is among the tables and `context.item_ids` is None, the other tables may refer to its good rows only.

    Returns:
        One report a table, by name, in the given order.

    Raises:
        UnknownNameError: No suite has one of the names.
    """
    first = ("items",) if "items" in tables else ()
    prepared: dict[str, Prepared] = {}
    for name in (*first, *(name for name in tables if name not in first)):
        prepared[name] = prepare(tables[name], name=name, context=context, suites=suites)
        if name == "items" and context.item_ids is None:
            context = replace(context, item_ids=_ids_of(prepared[name].good))
    batches = [batch for name in tables for batch in prepared[name].batches]
    now = context.now or context.as_of
    with TemporaryDirectory(prefix="everfeed-docs-") as folder:
        site = Path(folder) / "site" if docs_folder else None
        checked = run_checks(batches, now=now, site=site)
        reports = {name: _report(prepared[name], checked) for name in tables}
        if site is None or docs_folder is None:
            return reports
        index = publish(site, docs_folder, checked=checked, summaries=[_summary(r) for r in reports.values()], now=now)
    return {name: replace(report, docs=index) for name, report in reports.items()}


def require(report: ValidationReport) -> None:
    """Let a table pass that may be trained on.

    Raises:
        ValidationFailedError: A table-level expectation failed; the message says each, and what to do.
    """
    if report.passed:
        return
    lines = [f"The table {report.table!r} may not be trained on:", *(f"- {f.message}" for f in report.failures)]
    if report.docs is not None:
        lines.append(f"Data Docs: {report.docs}")
    raise ValidationFailedError("\n".join(lines))


def _ids_of(items: pa.Table) -> pa.ChunkedArray | None:
    """Return the known item ids; None where the column is missing or of a wrong type, which stops `items` itself."""
    is_usable = ITEM_ID in items.column_names and items.schema.field(ITEM_ID).type == ITEMS.field(ITEM_ID).type
    return items[ITEM_ID] if is_usable else None


def _report(prepared: Prepared, checked: tuple[Checked, ...]) -> ValidationReport:
    outcomes = [o for one in checked if one.batch.table == prepared.name for o in one.outcomes]
    failures = tuple(
        Failure(
            expectation=o.check.expectation.type,
            column=o.check.column,
            observed=o.observed,
            expected=o.check.expected,
            message=_sentence(prepared.name, o.check.column, o.observed, o.check.expected, o.check.advice),
        )
        for o in outcomes
        if o.check.stops and not o.passed
    )
    return ValidationReport(
        table=prepared.name,
        passed=not failures,
        rows=prepared.rows,
        good=prepared.good,
        quarantined=prepared.quarantined,
        reasons=prepared.reasons,
        failures=failures,
        warnings=prepared.warnings,
        docs=None,
    )


def _sentence(table: str, column: str, observed: str, expected: str, advice: str) -> str:
    place = f"{table}.{column}" if column else table
    return f"{place}: expected {expected}, observed {observed}. {advice}"


def _summary(report: ValidationReport) -> Summary:
    return Summary(
        table=report.table,
        passed=report.passed,
        rows=report.rows,
        quarantined=report.quarantined.num_rows,
        failures=tuple(f.message for f in report.failures),
        warnings=tuple(w.message for w in report.warnings),
    )


__all__ = [
    "CATALOGUE",
    "Failure",
    "Prepared",
    "QualityConfig",
    "Suites",
    "ValidationContext",
    "ValidationReport",
    "load_suites",
    "prepare",
    "require",
    "validate",
    "validate_tables",
]
