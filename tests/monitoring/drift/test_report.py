import re
from datetime import UTC, datetime

import pytest

from monitoring.drift.report import write_report
from monitoring.drift.workspace import Label
from recmodels.errors import DataError
from tests.monitoring.drift.tables import events, interactions, item_table


@pytest.fixture(scope="module", autouse=True)
def _no_telemetry():
    """Evidently reads the variable when it is imported; a process start sets it elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DO_NOT_TRACK", "1")
        yield


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    path = folder / "deeper" / "drift.html"
    write_report(
        events(days=8),
        events(days=2, seed=1, start_day=20_008),
        path,
        items=item_table(),
        sample=500,
        seed=3,
        workspace=folder / "workspace",
        label=Label(datetime(2026, 11, 21, tzinfo=UTC), "7"),
    )
    return path, folder


def test_report_is_one_whole_file_when_written(report):
    path, folder = report
    assert path == folder / "deeper" / "drift.html"
    assert [each.name for each in path.parent.iterdir()] == ["drift.html"]
    text = path.read_text()
    for column in ("watch_seconds", "surface", "clicked", "popularity_of_item", "category", "hour_utc"):
        assert column in text, column


def test_report_loads_nothing_from_outside(report):
    text = report[0].read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text)
    assert not re.findall(r"url\(\s*[\"']?https?:", text)


def test_report_holds_no_user_and_no_raw_item(report):
    text = report[0].read_text()
    assert not re.findall(r'"u\d{1,2}"', text)
    assert not re.findall(r'"i\d{1,2}"', text)


def test_report_is_added_to_the_workspace_when_it_has_one(report):
    _, folder = report
    assert len(list((folder / "workspace").glob("*/snapshots/*.json"))) == 1
    write_report(events(days=1), events(days=1), folder / "again.html", workspace=folder / "workspace")
    assert len(list((folder / "workspace").glob("*/metadata.json"))) == 1
    assert len(list((folder / "workspace").glob("*/snapshots/*.json"))) == 2


def test_report_draws_what_both_windows_have_when_columns_differ(tmp_path):
    reference = events(days=1, rows=30)
    bare = {"user_id": ["a"] * 30, "item_id": ["i1"] * 30, "timestamp": [20_001 * 86_400_000_000] * 30}
    path = tmp_path / "drift.html"
    write_report(reference, interactions(**bare, rating=[3.0] * 30), path)
    text = path.read_text()
    assert "surface" in text
    assert "watch_seconds" not in text


@pytest.mark.parametrize(("reference", "current", "name"), [(0, 1, "reference"), (1, 0, "current")])
def test_error_names_the_window_when_it_is_empty(tmp_path, reference, current, name):
    table = events(days=1)
    with pytest.raises(DataError, match=f"the {name} window has no rows"):
        write_report(
            table.slice(0, reference * table.num_rows), table.slice(0, current * table.num_rows), tmp_path / "x.html"
        )
    assert not list(tmp_path.iterdir())
