"""The workspace is bounded, and what people were told of an open incident stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from monitoring.drift.workspace import KeepConfig, Label, keep, prune, quiet, run_report

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def draw(workspace: Path, *, hours_ago: float | None, name: str = "data drift") -> None:
    """Keep a small real report, drawn so long before `NOW`."""
    with quiet():
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import MeanValue

        data = Dataset.from_pandas(pd.DataFrame({"x": [1.0, 2.0]}), DataDefinition(numerical_columns=["x"]))
        drawn_at = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
        label = Label(datetime(1998, 4, 1, tzinfo=UTC), drawn_at=drawn_at)
        keep(run_report(Report([MeanValue(column="x")]), data, data, name=name, label=label), workspace)


def left(workspace: Path) -> list[tuple[str, float]]:
    """Return name and age in hours of every run that is left, the youngest first."""
    from evidently.ui.workspace import Workspace

    opened = Workspace.create(str(workspace))
    (project,) = opened.search_project("everfeed drift")
    runs = [opened.get_run(project.id, run) for run in opened.list_runs(project.id)]
    return sorted(
        ((run.name, (NOW - datetime.fromisoformat(run.metadata["drawn_at"])) / timedelta(hours=1)) for run in runs),
        key=lambda one: (one[1], one[0]),
    )


def test_runs_go_when_they_are_older_than_the_days(workspace: Path) -> None:
    for hours in (1, 24 * 89, 24 * 91):
        draw(workspace, hours_ago=hours)
    assert prune(workspace, KeepConfig(), now=NOW) == 1
    assert left(workspace) == [("data drift", 1), ("data drift", 24 * 89)]
    assert prune(workspace, KeepConfig(), now=NOW) == 0


def test_newest_of_each_report_stays_when_a_day_is_long_over(workspace: Path) -> None:
    for hours in (97, 98, 99):  # 2026-05-28: 11, 10 and 9 o'clock
        draw(workspace, hours_ago=hours)
    draw(workspace, hours_ago=98, name="served lists")
    for hours in (1, 2):
        draw(workspace, hours_ago=hours)
    assert prune(workspace, KeepConfig(whole_days=3), now=NOW) == 2
    assert left(workspace) == [("data drift", 1), ("data drift", 2), ("data drift", 97), ("served lists", 98)]


def test_oldest_go_when_there_are_more_than_the_number(workspace: Path) -> None:
    for hours in (1, 2, 3, 4):
        draw(workspace, hours_ago=hours)
    assert prune(workspace, KeepConfig(runs=2), now=NOW) == 2
    assert left(workspace) == [("data drift", 1), ("data drift", 2)]


def test_what_was_drawn_first_after_an_alert_stays_when_all_else_is_too_old(workspace: Path) -> None:
    told_at = NOW - timedelta(hours=24 * 200 + 0.5)
    for hours in (24 * 200 + 1, 24 * 200, 24 * 200 - 1):
        draw(workspace, hours_ago=hours)
        draw(workspace, hours_ago=hours, name="served lists")
    draw(workspace, hours_ago=1)
    assert prune(workspace, KeepConfig(runs=1), now=NOW, linked=[told_at, NOW]) == 4
    assert left(workspace) == [("data drift", 1), ("data drift", 24 * 200), ("served lists", 24 * 200)]


def test_time_is_that_of_the_id_when_a_run_does_not_say_when_it_was_drawn(workspace: Path) -> None:
    draw(workspace, hours_ago=None)
    present = datetime.now(UTC)
    assert prune(workspace, KeepConfig(days=1), now=present + timedelta(hours=23)) == 0
    assert prune(workspace, KeepConfig(days=1), now=present + timedelta(hours=25)) == 1


def test_nothing_is_made_when_there_is_no_workspace(workspace: Path) -> None:
    assert prune(workspace, KeepConfig(), now=NOW) == 0
    assert not workspace.exists()


@pytest.mark.parametrize("limits", [{"days": 0}, {"runs": 0}, {"whole_days": 0}, {"weeks": 3}])
def test_configuration_is_refused_when_it_keeps_nothing_or_is_unknown(limits: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        KeepConfig(**limits)
