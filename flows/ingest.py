"""Source -> a batch on disk: read by a plug-in, normalised, without duplicates, waiting to be validated."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from pydantic import JsonValue

from flows.clock import utc_now
from flows.references import Batch
from flows.wiring import platform
from infra.tenants import check_lake
from monitoring.quality import load_suites
from recmodels.data.interactions import deduplicate, fingerprint, normalise
from recmodels.data.sampling import sample_users
from recmodels.data.schema import TIMESTAMP, TIMESTAMP_TYPE, USER_ID, Tables
from recmodels.data.sources import SOURCES
from recmodels.errors import DataError

_TABLES = ("interactions", "items", "users")


@flow(name="ingest", description="Read a source and stage its tables.", persist_result=False)
def ingest(
    source: str,
    path: Path,
    options: dict[str, JsonValue] | None = None,
    name: str = "",
    sample: float = 1.0,
    replaces: bool = False,  # noqa: FBT001, FBT002 - a parameter of the flow
    suites: list[Path] | None = None,
) -> Batch:
    """Read a source into a batch.

    Args:
        source: Name of the source plug-in.
        path: File or folder that it reads.
        options: The plug-in's own options.
        name: Name of the data set, where it is not the source's own.
        sample: Share of the users to keep.
        replaces: The rows are all there is of their days, as in a backfill; otherwise they join what is there.
        suites: Files, or folders of files, with suites of the user's own.

    Raises:
        SourceError: The source is missing, damaged, or not of its format.
        DataError: It holds no interactions, or values of a wrong type, or a suite cannot be run.
    """
    named = load_suites(suites or ()).files
    batch = stage_tables(source, path, options or {}, name, sample).model_copy(
        update={"replaces": replaces, "suites": dict(named)}
    )
    describe(batch)
    return batch


@task(name="stage", task_run_name="stage {source}")
def stage_tables(source: str, path: Path, options: dict[str, JsonValue], name: str, sample: float) -> Batch:
    """Read, normalise and write the tables into a folder named by their content; the same content is written once."""
    settings = platform().settings
    check_lake(Path(settings.lake), settings.quotas)
    tables = sample_users(read_source(source, path, options), share=sample)
    unique = deduplicate(normalise(tables.interactions, source=tables.name))
    interactions, users = (without_erased(rows) for rows in (unique.table, tables.users))
    if not interactions.num_rows:
        raise DataError(f"source {source!r} at {path} holds no interactions. Give a file or a date range with rows.")
    frames = dict(zip(_TABLES, (interactions, tables.items, users), strict=True))
    folder = _staging(frames)
    if not folder.exists():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for table, frame in frames.items():
            pq.write_table(_with_nulls_allowed(frame), partial / f"{table}.parquet", compression="zstd")
        partial.rename(folder)
    bounds = pc.min_max(interactions[TIMESTAMP]).as_py()
    return Batch(
        name=name or tables.name,
        source=source,
        folder=folder,
        interactions=interactions.num_rows,
        users=users.num_rows,
        items=tables.items.num_rows,
        duplicates=unique.dropped,
        first_at=bounds["min"],
        last_at=bounds["max"],
        as_of=moment_of(interactions, now=utc_now()),
        is_order_only=tables.is_order_only,
        terms=tables.terms,
        notes=tables.notes,
    )


def read_source(source: str, path: Path, options: Mapping[str, JsonValue]) -> Tables:
    """Return what a source plug-in reads.

    Raises:
        SourceError: The source is missing, damaged, or not of its format.
        DataError: Values are of a wrong type.
    """
    read: Callable[..., Tables] = SOURCES.module(source).read
    return read(Path(path), **options)


def without_erased(rows: pa.Table) -> pa.Table:
    """Return rows without those of erased users, who stay out whichever file brings them again."""
    home = platform()
    return home.erasures.tombstones.without(rows, USER_ID, secret=home.settings.user_secret())


def moment_of(interactions: pa.Table, *, now: datetime) -> datetime:
    """Return what counts as now for a file: its newest event that is not in the future, else `now`."""
    past = interactions.filter(pc.less_equal(interactions[TIMESTAMP], pa.scalar(now, TIMESTAMP_TYPE)))
    newest: datetime | None = pc.max(past[TIMESTAMP]).as_py()
    return newest or now


@task(name="describe batch")
def describe(batch: Batch) -> None:
    """Leave a summary of what was read."""
    create_markdown_artifact(
        key="ingested",
        markdown=(
            f"# {batch.name}\n\n{batch.interactions:,} interactions of {batch.users:,} users with {batch.items:,} "
            f"items, {batch.first_at:%Y-%m-%d} to {batch.last_at:%Y-%m-%d}; {batch.duplicates:,} duplicates "
            "dropped.\n\n"
            + "".join(f"- {note}\n" for note in batch.notes)
            + (f"\nTerms of use: {batch.terms}\n" if batch.terms else "")
        ),
        description=f"What source {batch.source} gave",
    )


def _staging(frames: Mapping[str, pa.Table]) -> Path:
    digests = "".join(fingerprint(frame) for frame in frames.values())
    return platform().settings.root / "staging" / hashlib.sha256(digests.encode()).hexdigest()[:16]


def _with_nulls_allowed(frame: pa.Table) -> pa.Table:
    """Let a null id or time through to the validation, which quarantines its row; Parquet would refuse the table."""
    fields = [field.with_nullable(nullable=True) for field in frame.schema]
    return pa.Table.from_arrays(frame.columns, schema=pa.schema(fields))
