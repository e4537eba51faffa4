"""`everfeed analyze`: the report in the home, its run in MLflow, what the terminal says, and bad spans."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.analyze import Analysed, analyze
from flows.deployments import SCHEDULES
from flows.wiring import Platform
from infra.settings import Settings
from monitoring.analysis import ANALYSES
from recmodels.data import schema
from recmodels.errors import DataError
from tests.flows.commands import Terminal
from tests.flows.homes import api
from tests.flows.searched import home_with_data


@pytest.fixture(scope="module")
def held(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A home with the synthetic world in its lake."""
    with home_with_data(tmp_path_factory.mktemp("analysed") / "home", server, mlflow=mlflow_template) as home:
        yield home


@pytest.fixture(scope="module")
def found(held: Platform) -> Analysed:
    return analyze()


def test_every_analysis_is_in_the_report_and_kept_in_mlflow(held: Platform, found: Analysed, tmp_path: Path) -> None:
    assert [section.name for section in found.sections] == list(ANALYSES.names())
    kept = held.tracker.fetch(found.run_id, "analysis", to=tmp_path)
    assert (kept / "report.html").read_bytes() == found.report.read_bytes()
    tables = {path.stem: pq.read_table(path) for path in (kept / "tables").glob("*")}
    assert {name: table.num_rows for name, table in tables.items()} == {
        section.name: section.rows for section in found.sections if section.rows
    }
    assert found.report.is_relative_to(held.settings.reports)  # the control room serves it


def test_no_raw_user_id_is_in_what_is_kept(held: Platform, found: Analysed) -> None:
    users = set(held.lake.read("users")[schema.USER_ID].to_pylist())
    for path in found.folder.rglob("*.parquet"):
        assert not users & {value for column in pq.read_table(path).columns for value in column.to_pylist()}
    html = found.report.read_text()
    assert not [name for name in users if f">{name}<" in html]


def test_the_same_analysis_again_is_the_same_run(held: Platform, found: Analysed) -> None:
    again = analyze()
    assert (again.run_id, again.sections) == (found.run_id, found.sections)
    assert held.tracker.find(found.run_id).name == "analysis world"


def test_a_person_finds_the_findings_with_links_in_prefect(held: Platform, found: Analysed) -> None:
    artifacts = api(held.settings, "artifacts/filter", {"artifacts": {"key": {"any_": ["analysis"]}}})
    text = artifacts[0]["data"]
    assert f"{held.settings.console_url}/reports/analysis/report.html" in text
    assert found.run_id in text
    assert all(f"## {section.title}" in text for section in found.sections)


def test_a_span_without_events_is_answered_in_words(held: Platform, found: Analysed) -> None:
    quiet = analyze(found.end.replace(year=found.end.year + 1), found.end.replace(year=found.end.year + 2))
    assert quiet.events == 0
    assert all(section.findings and not section.rows for section in quiet.sections)
    with pytest.raises(DataError, match="nothing lies before"):
        analyze(None, found.start.replace(year=found.start.year - 1))


def test_it_runs_every_week() -> None:
    (schedule,) = [one for one in SCHEDULES if one.flow.name == "analyze"]
    assert schedule.cron == "0 6 * * 1"


@pytest.fixture
def everfeed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    return Terminal(capsys, monkeypatch)


def test_what_cannot_be_analysed_is_refused_before_anything_starts(everfeed: Terminal, tmp_path: Path) -> None:
    empty = everfeed("analyze")
    assert (empty.code, "holds no data yet" in empty.err) == (2, True)
    reversed_span = everfeed("analyze", "--from", "2026-03-02", "--to", "2026-03-01")
    assert (reversed_span.code, "--to must be later" in reversed_span.err) == (2, True)
    assert everfeed("analyze", "--from", "yesterday").code == 2
    assert everfeed("analyze", "--source", "synthetic").code == 2
    assert not (tmp_path / "home" / "prefect").exists()
