"""Holding data to suites without storing any of it: what `everfeed validate` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import JsonValue

from flows.clock import utc_now
from flows.ingest import moment_of, read_source
from flows.wiring import connect
from infra.settings import Settings
from monitoring.proposal import propose
from monitoring.quality import ValidationContext, load_suites, validate_tables
from recmodels.data.interactions import deduplicate, normalise
from recmodels.data.schema import ITEM_ID
from recmodels.errors import DataError, StoreError

_TABLES: Final = ("interactions", "items", "users", "impressions", "outcomes")
_LAKE: Final = "the lake"


@dataclass(frozen=True)
class Asked:
    """Tables to validate.

    Attributes:
        subject: What they are, for messages.
        tables: The tables, by name.
        as_of: The moment that counts as now for them.
        item_ids: Items that rows may refer to; None where the source or the lake has none.
    """

    subject: str
    tables: Mapping[str, pa.Table]
    as_of: datetime
    item_ids: pa.ChunkedArray | None


def ask(
    settings: Settings, *, source: str, path: Path | None, options: Mapping[str, JsonValue], tables: Sequence[str]
) -> Asked:
    """Read what is to be validated: a source, or the home's lake where none is named.

    Raises:
        SourceError: The source is missing, damaged, or not of its format.
        StoreError: The lake is empty or damaged.
        DataError: A table is not known, or not there.
    """
    given = _of_source(source, path, options) if path is not None else _of_lake(settings)
    subject = f"source {source!r} at {path}" if path is not None else f"{_LAKE} at {settings.lake}"
    missing = [name for name in tables if name not in given]
    if missing:
        raise DataError(f"{subject} has no table {missing[0]!r}. It has: {', '.join(given)}.")
    chosen = {name: table for name, table in given.items() if not tables or name in tables}
    moments = given.get("interactions")
    now = utc_now()
    items = given.get("items")
    item_ids = items[ITEM_ID] if items is not None and items.num_rows else None
    return Asked(subject, chosen, now if moments is None else moment_of(moments, now=now), item_ids)


def judge(asked: Asked, *, suites: Sequence[Path], docs: Path) -> dict[str, Any]:
    """Validate the tables, and return what was found as a JSON document.

    Raises:
        DataError: A suite is missing or cannot be run.
    """
    named = load_suites(suites)
    known = None if "items" in asked.tables else asked.item_ids  # else its good rows alone may be referred to
    context = ValidationContext(as_of=asked.as_of, now=utc_now(), item_ids=known)
    reports = validate_tables(asked.tables, context=context, docs_folder=docs, suites=named)
    tables = {
        name: {
            "passed": report.passed,
            "rows": report.rows,
            "quarantined": report.quarantined.num_rows,
            "reasons": dict(report.reasons),
            "failures": [failure.message for failure in report.failures],
            "warnings": [warning.message for warning in report.warnings],
        }
        for name, report in reports.items()
    }
    return {
        "passed": all(report.passed for report in reports.values()),
        "as_of": asked.as_of.isoformat(),
        "expectations": named.digest(context.config),
        "suites": {str(path): digest for path, digest in named.files.items()},
        "docs": str(docs / "index.html"),
        "tables": tables,
    }


def propose_suites(asked: Asked, *, folder: Path, is_forced: bool) -> list[Path]:
    """Write one suite for each table that has rows.

    Raises:
        DataError: A suite is there already, no table has rows, or a required column is of a wrong type.
    """
    texts = {
        folder / f"{name}.py": propose(table, name, item_ids=asked.item_ids)
        for name, table in asked.tables.items()
        if table.num_rows
    }
    if not texts:
        raise DataError(f"{asked.subject} has no rows to propose a suite from.")
    there = [path for path in texts if path.exists() and not is_forced]
    if there:
        raise DataError(
            f"{there[0]} is there already, perhaps edited. Choose another --out, or write over it: --force."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _of_source(source: str, path: Path, options: Mapping[str, JsonValue]) -> dict[str, pa.Table]:
    tables = read_source(source, path, options)
    interactions = deduplicate(normalise(tables.interactions, source=tables.name)).table
    return {"interactions": interactions, "items": tables.items, "users": tables.users}


def _of_lake(settings: Settings) -> dict[str, pa.Table]:
    lake = connect(settings).lake
    found = {name: lake.read(name) for name in _TABLES if lake.version(name) is not None}
    if not found:
        raise StoreError(
            f"{_LAKE} at {settings.lake} is empty. Give --source and --path, or ingest a source with `everfeed run`."
        )
    return found
