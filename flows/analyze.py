"""The lake -> what people do, like and turn to: a report that people open, its tables, and a run in MLflow."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows.clock import utc_now
from flows.failures import explained
from flows.references import Reference
from flows.retries import is_worth_retrying
from flows.tracked import commit
from flows.validate import read_data_set
from flows.wiring import Platform, platform
from monitoring.analysis.report import Facts, write_report
from monitoring.analysis.result import Analysis
from monitoring.analysis.scope import Config, opened
from monitoring.analysis.suite import analyse_all

REPORT = "report.html"
_FOLDER = "analysis"
_TABLES = ("interactions", "items", "users")


class Section(Reference):
    """What one analysis found."""

    name: str
    title: str
    findings: tuple[str, ...]
    rows: int
    """Of its table."""


class Analysed(Reference):
    """What was analysed, and where the report is."""

    data: str
    key: str
    """The same for the same versions of the tables, span and settings."""
    start: datetime
    end: datetime
    events: int
    users: int
    folder: Path
    """Holds the report and the folder ``tables`` of Parquet files."""
    sections: tuple[Section, ...]
    run_id: str = ""
    """Of the run in MLflow."""

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.folder / REPORT


@flow(name="analyze", description="What people do, like and turn to, as a report.", persist_result=False)
@explained("analyze")
def analyze(start: datetime | None = None, end: datetime | None = None, config: Config | None = None) -> Analysed:
    """Analyse a span of the lake, and keep the report.

    Args:
        start: First moment; `Config.days` before the end if left out.
        end: First moment after the span; just after the newest event if left out.
        config: What is looked at, and how sure findings must be.

    Raises:
        StoreError: The home holds no data.
        DataError: The span is empty.
    """
    found = keep(read_and_write(start, end, config or Config()))
    describe(found)
    return found


@task(name="analyse", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def read_and_write(start: datetime | None, end: datetime | None, config: Config) -> Analysed:
    """Run every analysis over the lake as it is, and write the report and the tables into the home's reports."""
    home = platform()
    held = read_data_set(home)
    folder = home.settings.reports / _FOLDER
    with home.lake.reading():
        versions = {name: home.lake.version(name) for name in _TABLES}
        files = {name: home.lake.file_uris(name) for name, version in versions.items() if version is not None}
        place = home.lake.place
        with opened(
            files, start=start, end=end, is_order_only=held.is_order_only, config=config, attach=place.attach
        ) as scope:
            analyses = analyse_all(scope)
    facts = Facts(
        name=held.name,
        start=scope.start,
        end=scope.end,
        events=scope.num_events,
        users=scope.num_users,
        label_words=scope.label_words,
        confidence=config.confidence,
        is_order_only=held.is_order_only,
        made_at=utc_now(),
    )
    write_tables(folder / "tables", analyses)
    write_report(analyses, folder / REPORT, facts=facts)
    identity = f"{held.name}:{sorted(versions.items())}:{scope.start}:{scope.end}:{config.model_dump_json()}"
    sections = (
        Section(name=name, title=one.title, findings=one.findings, rows=one.table.num_rows)
        for name, one in analyses.items()
    )
    return Analysed(
        data=held.name,
        key=hashlib.sha256(identity.encode()).hexdigest()[:32],
        start=scope.start,
        end=scope.end,
        events=scope.num_events,
        users=scope.num_users,
        folder=folder,
        sections=tuple(sections),
    )


@task(name="keep analysis", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def keep(found: Analysed) -> Analysed:
    """Keep the report and the tables as artifacts of a run in MLflow; the same analysis again is the same run."""
    tracker = platform().tracker
    span = {"start": found.start.isoformat(), "end": found.end.isoformat()}
    tags = {"data": found.data, "commit": commit(), **span}
    run_id = tracker.analysis_run(found.key, name=f"analysis {found.data}", tags=tags)
    tracker.log_metrics(run_id, {"events": found.events, "users": found.users})
    tracker.log_folder(run_id, found.folder, folder=_FOLDER)
    tracker.finish(run_id)
    return found.model_copy(update={"run_id": run_id})


@task(name="describe analysis")
def describe(found: Analysed) -> None:
    """Leave the findings with links to the report and the run."""
    create_markdown_artifact(key="analysis", markdown=_as_markdown(platform(), found), description="What people do")


def write_tables(folder: Path, analyses: Mapping[str, Analysis]) -> None:
    """Write the table of every analysis as Parquet; one of an analysis that found nothing to say is taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in analyses.items():
        path = folder / f"{name}.parquet"
        if not one.table.num_columns:
            path.unlink(missing_ok=True)
            continue
        partial = path.with_suffix(".partial")
        pq.write_table(one.table, partial, compression="zstd")
        partial.replace(path)


def lines_of(found: Analysed) -> list[str]:
    """Return what a person reads: every finding, and where the report is."""
    lines = [f"{found.data}: {found.events:,} events of {found.users:,} people"]
    for section in found.sections:
        lines += [f"{section.title}", *(f"   {words}" for words in section.findings)]
    return [*lines, f"report: {found.report}", f"MLflow run: {found.run_id}"]


def document_of(found: Analysed) -> dict[str, Any]:
    """Return an analysis as one JSON document."""
    return found.model_dump(mode="json") | {"report": str(found.report)}


def _as_markdown(home: Platform, found: Analysed) -> str:
    settings = home.settings
    links = (
        f"[Report]({settings.console_url}/reports/{_FOLDER}/{REPORT}) |"
        f" [MLflow]({settings.mlflow_ui_url}/#/runs/{found.run_id})"
    )
    parts = (
        f"## {section.title}\n\n" + "".join(f"- {_plain(words)}\n" for words in section.findings)
        for section in found.sections
    )
    head = f"# {_plain(found.data)}: {found.events:,} events of {found.users:,} people"
    return f"{head}\n\n{links}\n\n" + "\n".join(parts)


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is: names come from the data."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|!" else sign for sign in text)
