"""The command line itself: exit codes, one JSON document, and helps that name what can be given."""

import logging
import time
from functools import partial
from pathlib import Path

import pytest
from pydantic import JsonValue

from flows import cli
from flows.options import pairs
from infra.database import open_database
from infra.settings import Settings
from recmodels.data.sources import SOURCES
from recmodels.presets import PRESETS
from tests.flows.commands import Terminal, choose_free_ports, in_a_process, write
from tests.stopwatch import least_seconds


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home with ports of its own."""
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    return Settings()


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_help_names_every_command_when_it_is_asked_for(everfeed: Terminal) -> None:
    ended = everfeed("--help")
    assert ended.code == 0
    for command in (
        "demo",
        "run",
        "tune",
        "compare",
        "audit-leakage",
        "up",
        "down",
        "status",
        "recommend",
        "doctor",
        "fetch",
    ):
        assert f" {command} " in ended.out


def test_help_of_run_names_every_source_and_preset_when_it_is_asked_for(everfeed: Terminal) -> None:
    words = everfeed("run", "--help").out.replace("│", " ").split()
    named = {word.strip(",.:()`;") for word in words}
    assert {*SOURCES.names(), *PRESETS} <= named


@pytest.mark.parametrize(
    "command", ["demo", "run", "tune", "compare", "audit-leakage", "up", "down", "status", "recommend", "doctor"]
)
def test_every_command_takes_json_when_asked(everfeed: Terminal, command: str) -> None:
    assert "--json" in everfeed(command, "--help").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dance",), "No such command 'dance'"),
        (("run",), "--source"),
        (("recommend",), "USER"),
        (("recommend", "u1", "-k", "0"), "'-k': Input should be greater than or equal to 1"),
        (("recommend", "u1", "-k", "10000"), "'-k': Input should be less than or equal to 200"),
        (("demo", "--sample", "2"), "'--sample': Input should be less than or equal to 1"),
        (("run", "--source", "table", "--path", "x", "--option", "unit"), "name=value"),
    ],
)
def test_a_usage_error_ends_with_code_2_when_arguments_are_wrong(
    everfeed: Terminal, arguments: tuple[str, ...], words: str
) -> None:
    ended = everfeed(*arguments)
    assert ended.code == 2
    assert words.lower() in " ".join(ended.err.replace("│", " ").split()).lower()
    assert ended.out == ""


def test_status_is_one_document_when_the_home_is_empty(everfeed: Terminal, settings: Settings) -> None:
    ended = everfeed("status", "--json")
    assert ended.code == 0
    assert ended.document == {
        "home": str(settings.root),
        "is_up": False,
        "services": [],
        "champion": None,
        "rollout": None,
        "retrain": None,
    }
    assert "everfeed demo" in ended.err
    assert "no champion yet" in ended.err


def test_status_says_nothing_on_standard_output_when_json_is_not_asked_for(everfeed: Terminal) -> None:
    assert everfeed("status").out == ""


def test_down_says_that_nothing_ran_when_nothing_ran(everfeed: Terminal, settings: Settings) -> None:
    ended = everfeed("down", "--json")
    assert (ended.code, ended.document) == (0, {"stopped": False})
    assert f"Nothing was running over {settings.root}" in everfeed("down").err.replace("\n", "")


def test_a_setting_is_named_when_its_variable_is_wrong(everfeed: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFEED_GATEWAY_PORT", "high")
    ended = everfeed("status")
    assert ended.code == 2
    assert "EVERFEED_GATEWAY_PORT='high'" in ended.last_line
    assert "Correct or unset each" in ended.last_line


def test_a_variable_is_refused_with_what_was_meant_when_no_setting_reads_it(
    everfeed: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERFEED_GATEWAY_PROT", "8800")
    monkeypatch.setenv("EVERFEED_ZZZ", "1")
    ended = everfeed("status")
    assert ended.code == 2
    assert "EVERFEED_GATEWAY_PROT is not known. Did you mean 'EVERFEED_GATEWAY_PORT'?" in ended.last_line
    assert "EVERFEED_ZZZ is not known. Correct" in ended.last_line
    assert "8800" not in ended.last_line  # it may be a secret


def test_the_home_is_named_when_it_is_a_file(
    everfeed: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a file", "mine")
    monkeypatch.setenv("EVERFEED_HOME", str(path))
    ended = everfeed("doctor")
    assert ended.code == 2
    assert str(path) in ended.last_line
    assert "EVERFEED_HOME" in ended.last_line
    assert path.read_text() == "mine"


@pytest.mark.parametrize("command", [("status",), ("up",), ("run", "--source", "synthetic", "--path", ".")])
def test_a_store_of_a_newer_version_is_refused_when_a_command_would_use_it(
    everfeed: Terminal, settings: Settings, command: tuple[str, ...]
) -> None:
    settings.root.mkdir()
    database = open_database(settings.database)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    before = (settings.root / "everfeed.db").read_bytes()
    ended = everfeed(*command)
    assert ended.code == 2
    for words in ("'9999'", "newer Everfeed", "install that one", "EVERFEED_HOME"):
        assert words in ended.last_line
    assert (settings.root / "everfeed.db").read_bytes() == before


def test_an_error_is_the_last_line_when_the_command_is_a_process(settings: Settings) -> None:
    ended = in_a_process(settings, ["recommend", "u1", "--json"])
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.splitlines()[0] == "error StoreError"
    assert "Start it with `everfeed up`" in ended.last_line


def test_help_is_quick_when_it_is_a_process(settings: Settings) -> None:
    assert in_a_process(settings, ["--help"]).code == 0
    asked = partial(in_a_process, settings, ["--help"])
    assert least_seconds(asked, below=5, tries=3, clock=time.perf_counter) < 5


@pytest.mark.parametrize(
    ("logger", "level", "is_shown"),
    [
        ("prefect.flow_runs", logging.ERROR, False),
        ("prefect.task_runs", logging.INFO, False),
        ("prefect.flow_runs.child", logging.ERROR, False),
        ("prefect.client", logging.INFO, False),
        ("prefect.client", logging.WARNING, True),
        ("infra.supervisor", logging.WARNING, True),
    ],
)
def test_lines_of_runs_stay_off_the_terminal_when_logging_is_set_up(
    monkeypatch: pytest.MonkeyPatch, logger: str, level: int, is_shown: bool
) -> None:
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    cli.log_warnings()
    (handler,) = root.handlers
    record = logging.LogRecord(logger, level, __file__, 1, "words", (), None)
    assert (level >= handler.level and bool(handler.filter(record))) is is_shown


def test_pairs_are_read_when_a_value_holds_an_equals_sign() -> None:
    expected: dict[str, JsonValue] = {"columns": "user_id=uid,item_id=iid", "empty": ""}
    assert pairs(["columns=user_id=uid,item_id=iid", "empty="]) == expected
