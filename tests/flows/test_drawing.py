"""Reports of a monitor run: drawn from the real stores, kept within bounds, and what cannot be drawn is said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from prefect import flow

from flows.clock import at
from flows.drawing import Drawn, describe, draw_reports, project_link
from flows.incidents import record_change
from flows.observed import Window
from flows.wiring import Platform, connect
from infra.settings import Settings
from monitoring.drift.served import Anchors, Served
from monitoring.drift.workspace import KeepConfig
from monitoring.incidents import IncidentConfig, advance
from monitoring.result import CheckResult, Status
from recmodels.data import schema
from tests.flows.homes import api
from tests.monitoring.drift.served_tables import START_DAY, serve
from tests.monitoring.drift.tables import events, item_table

DAYS = 20
AS_OF = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=START_DAY + DAYS)


@pytest.fixture
def platform(home: Settings) -> Platform:
    """The stores of a home whose lake knows the items."""
    stores = connect(home)
    stores.lake.replace("items", item_table(60))
    return stores


def window() -> Window:
    table = events(days=DAYS, start_day=START_DAY).sort_by(schema.TIMESTAMP)
    return Window(table.slice(0, 13 * 150), table.slice(13 * 150), share=1.0)


def served(*, days: int = DAYS) -> Served:
    vectors = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    return Served(
        *serve(days=days, lists=30), as_of=AS_OF, anchors=Anchors(np.array([f"i{n}" for n in range(60)]), vectors)
    )


def runs(platform: Platform) -> list[Path]:
    return sorted(platform.settings.drift_workspace.glob("*/snapshots/*.json"))


def test_every_report_is_in_one_project_when_there_is_something_to_draw(platform: Platform) -> None:
    drawn = draw_reports(platform, window(), served())
    assert drawn.missing == ()
    assert drawn.report == platform.settings.reports / "drift" / "report.html"
    assert drawn.report.stat().st_size > 100_000
    assert {path.parent.parent.name for path in runs(platform)} == {drawn.project}
    assert len(runs(platform)) == 4  # data, lists, their ranking, embeddings


def test_what_is_missing_is_said_when_nothing_was_served_and_the_window_is_empty(platform: Platform) -> None:
    whole = window()
    empty = served(days=1)
    nothing = Served(empty.impressions.slice(0, 0), empty.outcomes.slice(0, 0), as_of=AS_OF)
    drawn = draw_reports(platform, whole, nothing)
    assert [words.split(":")[0] for words in drawn.missing] == ["lists", "embeddings"]
    assert drawn.report is not None
    assert len(runs(platform)) == 1
    nobody = replace(whole, reference=whole.reference.slice(0, 0))
    drawn = draw_reports(platform, nobody, None)
    assert (drawn.report, drawn.project) == (None, "")
    assert drawn.missing == (
        "data drift: the reference window has no rows, so there is nothing to draw. Choose one that holds events.",
    )
    assert len(runs(platform)) == 1


def test_days_long_past_are_not_drawn_beside_the_newest(platform: Platform) -> None:
    whole = window()
    shift = pa.scalar(timedelta(days=60))
    old = whole.reference.set_column(
        whole.reference.column_names.index(schema.TIMESTAMP),
        whole.reference.schema.field(schema.TIMESTAMP),
        pa.compute.subtract(whole.reference[schema.TIMESTAMP], shift),
    )
    drawn = draw_reports(platform, replace(whole, reference=old), None)
    assert "the reference window has no rows" in drawn.missing[0]


def test_old_reports_go_and_those_of_an_open_incident_stay_when_a_run_draws(platform: Platform) -> None:
    first = datetime(2026, 1, 1, 12, tzinfo=UTC)
    config = KeepConfig(days=30)
    drift = CheckResult("rating_mean", "data", Status.DRIFT, size=5.0, message="rating moved.")
    kept = []
    for number, moment in enumerate((first, first + timedelta(days=1), first + timedelta(days=40))):
        with at(moment):
            if number == 1:
                change = advance([], [drift], model="", now=moment, config=IncidentConfig())
                record_change(platform.outbox, change, [], channels=["log"], link="", now=moment)
            draw_reports(platform, window(), None, config)
        kept.append(set(runs(platform)))
    before, told, after = kept
    assert after & told == told - before  # the incident's, while the one before it is gone
    assert len(after) == 2


def test_link_is_the_evidently_project_where_its_interface_runs(platform: Platform) -> None:
    settings = platform.settings
    shown = replace(platform, settings=settings.model_copy(update={"evidently": True}))
    hidden = replace(platform, settings=settings.model_copy(update={"evidently": False}))
    assert project_link(shown, "7") == f"{settings.evidently_url}/projects/7"
    assert project_link(hidden, "7") == f"{settings.console_url}/reports/drift/report.html"


def test_summary_names_what_moved_and_what_was_not_drawn(platform: Platform) -> None:
    moved = CheckResult("rating_mean", "data", Status.DRIFT, size=5.0, message="rating moved.")
    calm = CheckResult("volume", "population", Status.OK, message="volume is as it was.")
    drawn = Drawn(report=Path("report.html"), project="7", missing=("lists: too few.",))

    @flow(name="summary")
    def tell() -> None:
        describe(AS_OF, [moved, calm], drawn, heading="alert", reasons=["It drifted."])

    tell()
    (page,) = [one for one in api(platform.settings, "artifacts/filter", {}) if one["key"] == "monitored"]
    assert "- **rating_mean** rating moved." in page["data"]
    assert "volume is as it was" not in page["data"]
    assert "- not drawn: lists: too few." in page["data"]
    assert project_link(platform, "7") in page["data"]
