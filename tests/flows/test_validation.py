"""`everfeed validate`: a verdict on a source or on the lake, and suites to start from; nothing is stored."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.lake import Lake
from infra.settings import Settings
from recmodels.data import schema
from tests.flows.commands import Terminal
from tests.monitoring.sample_tables import NOW, sample

ROWS = 40


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    return Terminal(capsys, monkeypatch)


def _write(folder: Path, table: pa.Table, name: str = "events.parquet") -> str:
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / name)
    return str(folder / name)


def _events(**columns: pa.Array) -> pa.Table:
    moments = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(ROWS)]
    given = {
        schema.USER_ID: pa.array([f"u{n % 5}" for n in range(ROWS)]),
        schema.ITEM_ID: pa.array([f"i{n % 7}" for n in range(ROWS)]),
        schema.TIMESTAMP: pa.array(moments, schema.TIMESTAMP_TYPE),
        schema.RATING: pa.array([1.0 + n % 5 for n in range(ROWS)]),
    }
    return pa.table({**given, **columns})


def test_a_source_is_judged_and_nothing_stored_when_it_is_sound(terminal: Terminal, tmp_path: Path) -> None:
    path = _write(tmp_path, _events())
    ended = terminal("validate", "--source", "table", "--path", path, "--json")
    assert ended.code == 0
    found = ended.document
    assert found["passed"] is True
    assert {name: table["rows"] for name, table in found["tables"].items()} == {
        "interactions": ROWS,
        "items": 7,
        "users": 5,
    }
    assert Path(found["docs"]).is_file()
    assert len(found["expectations"]) == 16
    assert not (tmp_path / "home" / "lake").exists()


def test_the_code_is_2_and_the_reason_told_when_a_table_is_stopped(terminal: Terminal, tmp_path: Path) -> None:
    users = pa.array([""] * (ROWS // 2) + ["u"] * (ROWS // 2))
    path = _write(tmp_path, _events(user_id=users))
    ended = terminal("validate", "--source", "table", "--path", path, "--table", "interactions")
    assert ended.code == 2
    words = " ".join(ended.err.split())
    assert "interactions: stopped" in words
    assert "user_id is null (20)" in words


def test_a_proposed_suite_is_used_when_it_is_named_and_only_then(terminal: Terminal, tmp_path: Path) -> None:
    path = _write(tmp_path, _events())
    source = ("validate", "--source", "table", "--path", path)
    written = terminal(*source, "--propose", "--json").document["written"]
    folder = tmp_path / "home" / "expectations"
    assert written == [str(folder / f"{name}.py") for name in ("interactions", "items", "users")]
    text = (folder / "interactions.py").read_text()
    assert "within('rating', 0.6, 5.4),  # seen 1 to 5" in text
    assert "*known('item_id', context.item_ids, table_name='items')," in text
    passed = terminal(*source, "--suite", str(folder), "--json")
    assert passed.code == 0
    assert set(passed.document["suites"]) == set(written)
    odd = _write(tmp_path, _events(rating=pa.array([9.0] * ROWS)), "odd.parquet")
    assert terminal("validate", "--source", "table", "--path", odd).code == 0
    assert terminal("validate", "--source", "table", "--path", odd, "--suite", str(folder)).code == 2


def test_an_edited_suite_is_kept_when_another_is_proposed(terminal: Terminal, tmp_path: Path) -> None:
    path = _write(tmp_path, _events())
    propose = ("validate", "--source", "table", "--path", path, "--propose", "--out", str(tmp_path / "mine"))
    assert terminal(*propose).code == 0
    file = tmp_path / "mine" / "users.py"
    file.write_text("# mine")
    refused = terminal(*propose)
    assert refused.code == 2
    assert "--force" in refused.err
    assert file.read_text() == "# mine"
    assert terminal(*propose, "--force").code == 0
    assert "def suite(" in file.read_text()


def test_the_lake_is_judged_when_no_source_is_named(terminal: Terminal, tmp_path: Path) -> None:
    empty = terminal("validate")
    assert empty.code == 2
    assert "everfeed run" in empty.err
    lake = Lake(Settings(home=tmp_path / "home").lake)
    for name in ("interactions", "impressions", "outcomes"):
        lake.write_window(name, sample(name).cast(schema.TABLES[name]), start=NOW - timedelta(days=2), end=NOW)
    lake.replace("items", sample("items").cast(schema.ITEMS))
    found = terminal("validate", "--json").document
    assert list(found["tables"]) == ["interactions", "items", "impressions", "outcomes"]
    assert found["passed"] is True
    assert datetime.fromisoformat(found["as_of"]) == NOW - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "table"), "give --source and --path together"),
        (("--source", "table", "--path", "EVENTS", "--table", "clicks"), "has no table 'clicks'"),
        (("--source", "table", "--path", "EVENTS", "--suite", "nothing.py"), "does not exist"),
        (("--source", "tables", "--path", "EVENTS"), "Did you mean 'table'"),
    ],
)
def test_commands_say_what_to_do_when_they_cannot(
    terminal: Terminal, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    path = _write(tmp_path, _events())
    ended = terminal("validate", *(path if word == "EVENTS" else word for word in arguments))
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())
