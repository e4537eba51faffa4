"""Running expectations in Great Expectations: the one place that imports it, since that costs three seconds."""

import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.compiled import has_form
from monitoring.compiled_engine import Answers, open_source
from monitoring.compiled_scan import Files, Scan, scanning
from monitoring.suite import Expectation

_CHECK: Final = "check"
_SHOWN_VALUES: Final = 5
_SESSION = threading.Lock()  # Great Expectations keeps its current context in a variable of the process


@dataclass(frozen=True)
class Check:
    """One expectation to run, and the words for its failure.

    Attributes:
        expectation: What Great Expectations evaluates.
        column: The column that it is about; empty for the whole table.
        expected: What was expected, in words.
        advice: What to do when it fails.
        stops: A failure stops the lifecycle; otherwise the rows that fail are quarantined.
        title: Words for the Data Docs; empty for those of Great Expectations.
        seen: What was seen, where we know it in better words; empty for those of Great Expectations.
    """

    expectation: Expectation
    column: str
    expected: str
    advice: str
    stops: bool
    title: str = ""
    seen: str = ""


@dataclass(frozen=True)
class Batch:
    """Rows, and the checks to run on them.

    Attributes:
        table: Name of the table that the rows are of.
        part: ``"schema"`` (one row with the type of each column), ``"rows"`` (all rows) or ``"table"`` (good rows).
        rows: The columns that the checks need, in memory or in Parquet files.
        checks: The checks.
    """

    table: str
    part: str
    rows: pa.Table | Files
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """Name of the suite, the asset and the page."""
        return f"{self.table}-{self.part}"


@dataclass(frozen=True)
class Outcome:
    """What Great Expectations found for one check.

    Attributes:
        check: The check.
        passed: Whether the expectation holds.
        observed: What was seen, in words.
        unexpected: How many values were unexpected; None for a check on the column as a whole.
    """

    check: Check
    passed: bool
    observed: str
    unexpected: int | None


@dataclass(frozen=True)
class Checked:
    """What Great Expectations found on one batch.

    Attributes:
        batch: The batch.
        outcomes: One outcome a check, in the order of the checks.
        record: The validation result in Great Expectations' own shape, as JSON.
    """

    batch: Batch
    outcomes: tuple[Outcome, ...]
    record: str


def run_checks(
    batches: Sequence[Batch], *, now: datetime, site: Path | None, is_compiled: bool = True
) -> tuple[Checked, ...]:
    """Run each batch as a checkpoint of Great Expectations, in memory.

    Whatever has a form in SQL is answered by one scan of the batch; the columns of the other checks alone become a
    pandas frame.

    Args:
        batches: What to check; names are distinct.
        now: Written into the results as the time of the run.
        site: Empty folder for the Data Docs as Great Expectations builds them; None builds none.
        is_compiled: False computes everything with pandas, as a comparison.
    """
    with _SESSION:
        gx = _great_expectations()
        context = _open_context(gx)
        source = open_source(context)
        checked = tuple(_run_batch(gx, context, source, batch, now, is_compiled) for batch in batches)
        if site is not None:
            context.add_data_docs_site("local", _site(site))
            context.build_data_docs()
    return checked


def _great_expectations() -> ModuleType:
    with warnings.catch_warnings():
        # great_expectations 1.24.1 imports the deprecated sre_constants and sre_parse
        warnings.filterwarnings("ignore", message="module 'sre_\\w+' is deprecated", category=DeprecationWarning)
        import great_expectations

    module: ModuleType = great_expectations
    return module


def _open_context(gx: ModuleType) -> Any:
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars={"globally": False, "metric_calculations": False},
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _run_batch(gx: ModuleType, context: Any, source: Any, batch: Batch, now: datetime, is_compiled: bool) -> Checked:  # noqa: FBT001
    checkpoint = _checkpoint(gx, context, source, batch)
    with scanning(batch.rows) as scan:
        engine = source.get_execution_engine()
        engine.answers = Answers(scan) if is_compiled else None
        try:
            result = checkpoint.run(
                batch_parameters={"dataframe": _frame(batch, scan, is_compiled=is_compiled)},
                run_id=gx.RunIdentifier(run_name=batch.name, run_time=now),
            )
        finally:
            engine.answers = None  # Great Expectations keeps the engine; DuckDB complains of connections left behind
    (validation,) = result.run_results.values()
    found = {int(one.expectation_config.meta[_CHECK]): one for one in validation.results}
    return Checked(
        batch=batch,
        outcomes=tuple(_outcome(check, found[index]) for index, check in enumerate(batch.checks)),
        record=json.dumps(validation.to_json_dict(), indent=1),
    )


def _checkpoint(gx: ModuleType, context: Any, source: Any, batch: Batch) -> Any:
    suite = gx.ExpectationSuite(name=batch.name)
    for index, check in enumerate(batch.checks):
        suite.add_expectation_configuration(_configuration(index, check))
    assert len(suite.expectations) == len(batch.checks), "two expectations of one type on one column: one was dropped"
    asset = source.add_dataframe_asset(batch.name)
    definition = gx.ValidationDefinition(
        name=batch.name, data=asset.add_batch_definition_whole_dataframe("all"), suite=context.suites.add(suite)
    )
    checkpoint = gx.Checkpoint(
        name=batch.name,
        validation_definitions=[context.validation_definitions.add(definition)],
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": _SHOWN_VALUES},
    )
    return context.checkpoints.add(checkpoint)


def _frame(batch: Batch, scan: Scan, *, is_compiled: bool) -> Any:
    """Return what pandas is asked about: the columns of the checks that have no form in SQL."""
    names = list(scan.schema.names)
    if is_compiled:
        left = [c.expectation.kwargs for c in batch.checks if not has_form(c.expectation, scan.schema)]
        wanted = {name for arguments in left for name in columns_of(arguments)}
        is_whole = any(not columns_of(arguments) for arguments in left)
        names = names if is_whole else [name for name in names if name in wanted]
    rows = scan.columns(names)
    return pa.table({name: _showable(rows[name]) for name in names}).to_pandas()


def columns_of(arguments: Mapping[str, object]) -> list[str]:
    """Return the columns that an expectation with these arguments reads; none where it is about the whole table."""
    wanted = arguments.get("column_list", [arguments["column"]] if "column" in arguments else [])
    assert isinstance(wanted, list)
    return wanted


def _showable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bound timestamps to what Python's datetime holds: Great Expectations cannot write down a value beyond it."""
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        return column
    low, high = (pa.scalar(moment.replace(tzinfo=UTC), column.type) for moment in (datetime.min, datetime.max))
    column = pc.if_else(pc.less(column, low), low, column)
    return pc.if_else(pc.greater(column, high), high, column)


def _configuration(index: int, check: Check) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(
        type=check.expectation.type,
        kwargs=dict(check.expectation.kwargs),
        meta={_CHECK: index},
        description=check.title or None,
        severity="critical" if check.stops else "warning",
    )


def _outcome(check: Check, result: Any) -> Outcome:
    found: Mapping[str, Any] = result.result
    return Outcome(
        check=check,
        passed=bool(result.success),
        observed=check.seen or _observed(found),
        unexpected=found.get("unexpected_count"),
    )


def _observed(found: Mapping[str, Any]) -> str:
    missing = found.get("details", {}).get("mismatched", {}).get("missing")
    if missing:
        return f"no {', '.join(missing)}"
    if found.get("element_count") == 1 and found.get("partial_unexpected_list"):
        return str(found["partial_unexpected_list"][0])
    if "unexpected_count" in found:
        return f"{found['unexpected_count']} of {found['element_count']}"
    value = found.get("observed_value", "nothing: it could not be evaluated")
    return str(value.isoformat()) if isinstance(value, datetime) else str(value)


def _site(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False},
        "show_how_to_buttons": False,
    }
