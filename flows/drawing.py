"""The reports of a monitor run: drawn by Evidently, kept in its workspace, linked from the run and the model's version.

A report that cannot be drawn ends nothing: the run says why instead.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from flows.clock import utc_now
from flows.observed import Window
from flows.wiring import Platform, platform
from monitoring.drift.report import write_report
from monitoring.drift.served import Served
from monitoring.drift.served_report import add_embedding_report, add_served_report
from monitoring.drift.workspace import KeepConfig, Label, prune
from monitoring.incidents import incident_from
from monitoring.result import CheckResult, Status
from recmodels.data.schema import TIMESTAMP
from recmodels.errors import DataError

DRAWN_DAYS = 35
"""Days before the newest event that the newest days are drawn beside."""
DRAWN_ROWS = 1_000_000
"""Events and impressions, each, that are enough to draw from: a report shows a sample of them."""
_TAG = "everfeed.drift_report"


class Drawn(BaseModel):
    """What could be drawn."""

    model_config = ConfigDict(frozen=True)

    report: Path | None = None
    """Data drift as one HTML file."""
    project: str = ""
    """Number of the project in the Evidently workspace; empty where nothing was added to it."""
    missing: tuple[str, ...] = ()
    """Why a report was not drawn, in words."""


def draw_reports(home: Platform, window: Window, served: Served | None, config: KeepConfig | None = None) -> Drawn:
    """Draw data drift, and what was served and where its items lie; tag the champion's version with the link.

    Reports of earlier runs that are kept no longer are deleted; what people were told of an open incident stays.

    Args:
        home: The stores.
        window: Events before the newest days, and of the newest days.
        served: What the gateway showed; None for none.
        config: Which reports are kept.
    """
    folder, now = home.settings.reports, utc_now()
    champion = home.rollouts.champion()
    label = Label(window.as_of, model_version=str(champion.version) if champion else "", drawn_at=now)
    missing: list[str] = []
    start = pa.scalar(window.as_of - timedelta(days=DRAWN_DAYS))
    before = window.reference.filter(pc.greater_equal(window.reference[TIMESTAMP], start))

    def data() -> str:
        return write_report(
            before,
            window.current,
            folder / "drift" / "report.html",
            items=home.lake.read("items"),
            workspace=home.settings.drift_workspace,
            label=label,
        )

    project = _drawn(data, "data drift", missing)
    path = folder / "drift" / "report.html" if project else None
    if served is not None:
        project = (
            _drawn(lambda: add_served_report(served, home.settings.drift_workspace, label), "lists", missing) or project
        )
        add = add_embedding_report
        project = _drawn(lambda: add(served, home.settings.drift_workspace, label), "embeddings", missing) or project
    if champion is not None and project and champion.version is not None:
        home.registry.tag(champion.version, {_TAG: project_link(home, project)})
    prune(home.settings.drift_workspace, config or KeepConfig(), now=now, linked=_told_at(home))
    return Drawn(report=path, project=project, missing=tuple(missing))


def project_link(home: Platform, project: str) -> str:
    """Return the address of a project in the Evidently UI; of the control room's report where that UI is off."""
    settings = home.settings
    if settings.evidently:
        return f"{settings.evidently_url}/projects/{project}"
    return f"{settings.console_url}/reports/drift/report.html"


def describe(
    as_of: datetime, results: Sequence[CheckResult], drawn: Drawn, *, heading: str, reasons: Sequence[str]
) -> None:
    """Leave a summary of a run with links to its reports."""
    home = platform()
    drifted = [result for result in results if result.status == Status.DRIFT]
    rows = "".join(f"- **{result.figure}** {result.message}\n" for result in drifted) or "Nothing drifted.\n"
    links = [f"[Evidently report]({home.settings.console_url}/reports/drift/report.html)"] if drawn.report else []
    links += [f"[Evidently workspace]({project_link(home, drawn.project)})"] if drawn.project else []
    absent = "".join(f"- not drawn: {words}\n" for words in drawn.missing)
    create_markdown_artifact(
        key="monitored",
        markdown=f"# {as_of:%Y-%m-%d}: {heading}\n\n{' '.join(reasons)}\n\n{rows}\n{absent}\n{' | '.join(links)}\n",
        description="What moved",
    )


def _told_at(home: Platform) -> list[datetime]:
    """Return when open incidents opened, and when people were last told of them."""
    opened = [incident_from(record.document) for record in home.outbox.incidents()]
    return [moment for one in opened for moment in (one.opened_at, one.told_at) if moment is not None]


def _drawn(draw: Callable[[], str], name: str, missing: list[str]) -> str:
    """Return the project that a report was added to; empty, with the reason noted, where there is nothing to draw."""
    try:
        return draw()
    except DataError as error:
        missing.append(f"{name}: {error}")
        return ""
