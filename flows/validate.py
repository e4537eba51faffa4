"""Batch -> lake: Great Expectations judges, rows that break a rule go to quarantine, good rows join their days."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows.clock import utc_now
from flows.held_accounts import hold_back
from flows.ingest import without_erased
from flows.newitems import announce
from flows.references import Batch, DataSet, Screened, Snapshot
from flows.retries import is_worth_retrying
from flows.windows import kept_counts, rebuild
from flows.wiring import Platform, platform
from monitoring.quality import (
    CATALOGUE,
    Suites,
    ValidationContext,
    ValidationReport,
    load_suites,
    require,
    validate_tables,
)
from recmodels.data.interactions import fingerprint
from recmodels.data.schema import EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID
from recmodels.errors import StoreError

KEYS = {"items": ITEM_ID, "users": USER_ID}
"""What names a row of the tables without days."""
_TABLES = ("interactions", *KEYS)


@flow(
    name="validate", description="Validate a staged batch and move its good rows into the lake.", persist_result=False
)
def validate(batch: Batch) -> Snapshot:
    """Validate a batch; a table-level failure stops here, before anything reaches the lake.

    Raises:
        ValidationFailedError: A table broke a table-level expectation; the message names each.
        StoreError: The home holds another data set.
    """
    screened = screen(batch)
    describe(screened)
    return store(batch, screened)


@task(name="screen", task_run_name="screen {batch.name}")
def screen(batch: Batch) -> Screened:
    """Run every suite over the batch and write good and quarantined rows beside it."""
    _refuse_another(platform(), batch)
    tables = {name: pq.read_table(batch.folder / f"{name}.parquet") for name in _TABLES}
    docs = platform().settings.reports / "data_docs"
    suites = load_suites(batch.suites, expected=batch.suites)
    context = _context(platform(), batch, tables["interactions"])
    reports = validate_tables(tables, context=context, docs_folder=docs, suites=suites)
    for report in reports.values():
        require(report)
    folder = batch.folder / "screened"
    folder.mkdir(exist_ok=True)
    for name, report in reports.items():
        pq.write_table(report.good, folder / f"{name}.parquet", compression="zstd")
    quarantined = pa.concat_tables(report.quarantined for report in reports.values())
    pq.write_table(quarantined, folder / "quarantine.parquet", compression="zstd")
    return Screened(
        folder=folder,
        rows={name: report.rows for name, report in reports.items()},
        quarantined=quarantined.num_rows,
        reasons=_reasons(reports),
        warnings=tuple(warning.message for report in reports.values() for warning in report.warnings),
        docs=next(iter(reports.values())).docs,
        expectations=suites.digest(context.config),
    )


@task(name="describe validation")
def describe(screened: Screened) -> None:
    """Leave a summary with a link to the Data Docs."""
    rows = ", ".join(f"{count:,} {name}" for name, count in screened.rows.items())
    create_markdown_artifact(
        key="validated",
        markdown=(
            f"# Validation\n\n{rows}; {screened.quarantined:,} rows in quarantine.\n\n"
            + "".join(f"- {count:,} rows: {reason}\n" for reason, count in screened.reasons.items())
            + "".join(f"- {warning}\n" for warning in screened.warnings)
            + f"\nData Docs: [{screened.docs}]({platform().settings.console_url}/reports/data_docs/index.html)\n"
        ),
        description="What Great Expectations found",
    )


@task(
    name="store",
    task_run_name="store {batch.name}",
    retries=2,
    retry_delay_seconds=[0.5, 2.0],
    retry_condition_fn=is_worth_retrying,
)
def store(batch: Batch, screened: Screened) -> Snapshot:
    """Bring the batch into its days of the lake; rows that are there already, the same, are left alone."""
    home = platform()
    _claim(home, batch, expectations=screened.expectations)
    with home.lake.reading():  # an erasure that comes in between sets its tombstone first and then waits for this
        tables = {name: pq.read_table(screened.folder / f"{name}.parquet") for name in _TABLES}
        interactions, users = (without_erased(tables[name]) for name in ("interactions", "users"))
        announce(home, tables["items"], by="ingest")
        rebuild(home.lake, "interactions", hold_back(home, interactions), replaces=batch.replaces)
        merge(home, "items", tables["items"])
        merge(home, "users", users)
        _keep_quarantined(home, pq.read_table(screened.folder / "quarantine.parquet"), batch=batch.folder.name)
    return snapshot_of(home, name=batch.name, is_order_only=batch.is_order_only, screened=screened)


def snapshot_of(
    home: Platform,
    *,
    name: str,
    is_order_only: bool,
    screened: Screened | None = None,
    start: datetime | None = None,
) -> Snapshot:
    """Return the lake as it is now, its interactions from `start` on.

    Raises:
        StoreError: The lake holds no such interactions.
    """
    interactions, items = home.lake.read("interactions", start=start), home.lake.read("items")
    if not interactions.num_rows:
        since = f" since {start:%Y-%m-%d %H:%M}" if start else ""
        raise StoreError(
            f"the lake at {home.settings.lake} holds no interactions{since}. Ingest a source with `everfeed run`."
        )
    versions = {table: home.lake.version(table) for table in ("interactions", "items", "users")}
    return Snapshot(
        name=name,
        fingerprint=fingerprint(interactions)[:32] + fingerprint(items)[:32],
        versions={table: version for table, version in versions.items() if version is not None},
        interactions=interactions.num_rows,
        users=pc.count_distinct(interactions[USER_ID]).as_py(),
        items=items.num_rows,
        quarantined=screened.quarantined if screened else 0,
        as_of=pc.max(interactions[TIMESTAMP]).as_py(),
        is_order_only=is_order_only,
        docs=screened.docs if screened else None,
        start=start,
        expectations=screened.expectations if screened else read_data_set(home).expectations,
    )


def read_data_set(home: Platform) -> DataSet:
    """Return which data set this home holds.

    Raises:
        StoreError: Nothing was ingested yet.
    """
    path = _data_set_file(home)
    if not path.exists():
        raise StoreError(f"the home {home.settings.root} holds no data yet. Ingest a source with `everfeed run`.")
    return DataSet.model_validate_json(path.read_text())


def suites_of(home: Platform) -> Suites:
    """Return the suites that this home's data was held to when it was last ingested; the catalogue's before.

    Raises:
        DataError: One of them was named by somebody, and is not what it was then.
    """
    if not _data_set_file(home).exists():
        return CATALOGUE
    named = read_data_set(home).suites
    return load_suites(named, expected=named)


def _refuse_another(home: Platform, batch: Batch) -> None:
    """Keep one data set a home: two mixed in one lake would be split, trained and judged as one."""
    path = _data_set_file(home)
    if path.exists() and (held := read_data_set(home).name) != batch.name:
        raise StoreError(
            f"the home {home.settings.root} holds the data set {held!r}, and {batch.name!r} would be mixed into it. "
            f"Choose another home with EVERFEED_HOME, or call the new data {held!r} with `--name {held}`."
        )


def _claim(home: Platform, batch: Batch, *, expectations: str) -> None:
    """Write which data set the home holds, and what its rows are held to, before its first rows arrive."""
    _refuse_another(home, batch)
    path = _data_set_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = DataSet(name=batch.name, is_order_only=batch.is_order_only, expectations=expectations, suites=batch.suites)
    path.write_text(held.model_dump_json())


def _data_set_file(home: Platform) -> Path:
    return home.settings.root / "data_set.json"


def _context(home: Platform, batch: Batch, interactions: pa.Table) -> ValidationContext:
    """Return what is known outside of the batch: the days of the lake, and what of them stays beside the batch."""
    lake = home.lake
    if lake.version("interactions") is None:
        return ValidationContext(as_of=batch.as_of, now=utc_now())
    known = interactions.filter(pc.and_(pc.is_valid(interactions[TIMESTAMP]), pc.is_valid(interactions[EVENT_ID])))
    return ValidationContext(
        as_of=batch.as_of,
        now=utc_now(),
        daily_rows={"interactions": lake.daily_counts("interactions")},
        kept_rows={"interactions": kept_counts(lake, known, replaces=batch.replaces)},
    )


def merge(home: Platform, name: str, rows: pa.Table) -> None:
    """Replace the rows whose key is in the batch and keep the others."""
    key = KEYS[name]
    if home.lake.version(name) is not None:
        held = home.lake.read(name)
        kept = held.filter(pc.invert(pc.is_in(held[key], value_set=rows[key].combine_chunks())))
        merged = pa.concat_tables([kept, rows], promote_options="default").sort_by(key)
        if merged.equals(held.sort_by(key)):
            return
        rows = merged
    home.lake.replace(name, rows.sort_by(key))


def _keep_quarantined(home: Platform, rows: pa.Table, *, batch: str) -> None:
    if rows.num_rows:
        home.lake.append("quarantine", rows, key=batch)


def _reasons(reports: dict[str, ValidationReport]) -> dict[str, int]:
    return {f"{name}: {reason}": n for name, report in reports.items() for reason, n in report.reasons.items() if n}
