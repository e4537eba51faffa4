"""`everfeed audit-leakage`: a verdict on a source or on the lake; and what runs and model cards say of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.wiring import connect
from infra.settings import Settings
from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID
from recmodels.evaluation.leakage import LeakageReport
from tests.flows.commands import Terminal, write
from tests.flows.homes import Lived, at_home
from tests.recmodels.evaluation.leaky import TIME, count_by, world


@pytest.fixture
def everfeed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def lived_in(
    lived: Lived, mlflow_template: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    with at_home(lived.settings.root, lived.settings, mlflow=mlflow_template):
        yield Terminal(capsys, monkeypatch)


@pytest.fixture
def leaky(tmp_path: Path) -> tuple[str, ...]:
    """Options of a source whose users carry a count of everything they did, the test part included."""
    folder = tmp_path / "data"
    folder.mkdir()
    tables = world()
    tables = replace(tables, interactions=tables.interactions.filter(tables.interactions["clicked"]))
    pq.write_table(tables.interactions.select([USER_ID, ITEM_ID, TIMESTAMP]), folder / "events.parquet")
    users = tables.users.select([USER_ID]).append_column("events", pa.array(count_by(tables, USER_ID).astype(str)))
    pq.write_table(users, folder / "users.parquet")
    return (
        "--source",
        "table",
        "--path",
        str(folder / "events.parquet"),
        "--option",
        f"users={folder / 'users.parquet'}",
    )


def test_the_code_is_0_when_a_source_is_clean(everfeed: Terminal, tmp_path: Path) -> None:
    source = ("--source", "synthetic", "--path", str(tmp_path), "--option", "users=200", "--option", "items=150")
    ended = everfeed("audit-leakage", *source, "--json")
    assert ended.code == 0
    assert ended.document["passed"] is True
    (one,) = ended.document["audits"]  # every preset divides the data in the same way
    assert one["recipes"] == ["popularity", "item_knn", "ease", "sasrec"]
    assert one["split"]["kind"] == "time"
    assert {"name", "severity", "size", "what", "why", "advice"} == set(one["findings"][0])
    assert not (tmp_path / "home" / "lake").exists()


def test_the_code_is_1_and_the_leak_told_when_there_is_one(everfeed: Terminal, leaky: tuple[str, ...]) -> None:
    ended = everfeed("audit-leakage", *leaky, "--preset", "popularity")
    assert ended.code == 1
    words = " ".join(ended.err.split())
    assert "popularity (label any, split time):" in words
    assert "found a leak: users.events" in words
    assert "leak: users.events: The column equals the number of all positive events, the test part included" in words


def test_a_leak_is_a_note_when_somebody_answers_for_it(everfeed: Terminal, leaky: tuple[str, ...]) -> None:
    ended = everfeed("audit-leakage", *leaky, "--accept", "users.events")
    assert ended.code == 0
    assert "note: users.events" in " ".join(ended.err.split())
    ended = everfeed("audit-leakage", *leaky, "--accept", "users.age")
    assert ended.code == 2
    assert "'users.age' is no check of this data. Checks: item_ids" in ended.last_line


def test_each_way_to_divide_the_data_is_audited_once(
    everfeed: Terminal, leaky: tuple[str, ...], tmp_path: Path
) -> None:
    papers = TIME.model_dump_json().replace('"name":"popularity"', '"name":"papers"', 1)
    own = write(tmp_path / "papers.json", papers.replace('"kind":"time"', '"kind":"leave_one_out"'))
    ended = everfeed(
        "audit-leakage", *leaky, "--preset", "popularity", "--preset", "ease", "--recipe", str(own), "--json"
    )
    audits = ended.document["audits"]
    assert [(one["recipes"], one["split"]["kind"]) for one in audits] == [
        (["popularity", "ease"], "time"),
        (["papers"], "leave_one_out"),
    ]


def test_source_and_path_come_together(everfeed: Terminal) -> None:
    ended = everfeed("audit-leakage", "--source", "synthetic")
    assert ended.code == 2
    assert "--source and --path together" in " ".join(ended.err.replace("│", " ").split())


def test_an_empty_home_says_so(everfeed: Terminal) -> None:
    ended = everfeed("audit-leakage")
    assert ended.code == 2
    assert "holds no data yet" in ended.last_line


def test_the_lake_is_audited_under_the_recipes_of_the_last_run(lived_in: Terminal, lived: Lived) -> None:
    ended = lived_in("audit-leakage", "--json")
    assert ended.code == 0
    (one,) = ended.document["audits"]
    assert one["recipes"] == [candidate.recipe.name for candidate in lived.first.candidates]
    assert LeakageReport(findings=tuple(one["findings"])) == _kept(lived.settings)


def test_every_run_and_its_card_tell_what_was_found(lived: Lived, tmp_path: Path) -> None:
    tracker, report = connect(lived.settings).tracker, _kept(lived.settings)
    for candidate in lived.first.candidates:
        run = tracker.find(candidate.run_id)
        assert run is not None
        assert run.tags["leakage"] == report.words
        card = tracker.fetch(candidate.run_id, "model_card.md", to=tmp_path).read_text()
        assert "## Leakage audit" in card
        assert all(finding.name in card for finding in report.findings)


def _kept(settings: Settings) -> LeakageReport:
    (path,) = (settings.reports / "leakage").glob("*.json")
    return LeakageReport.model_validate_json(path.read_text())
