"""A new project: nothing is overwritten, every file of it is valid, and its plug-ins are found where it says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from flows.channels import default_channels, open_planned, plan_channels
from flows.project import init_project
from flows.run_defaults import filled
from flows.runs import RunRequest, chosen_recipes
from infra.settings import Settings
from monitoring.alerts.channels import CHANNELS
from monitoring.expectations import SUITES, suite_of
from monitoring.suite import ValidationContext
from recmodels.data.histories import Histories
from recmodels.data.schema import ITEM_ID, USER_ID
from recmodels.data.sources import SOURCES
from recmodels.errors import EverfeedError, SettingsError, SourceError
from recmodels.models import MODELS
from recmodels.registry import discover_in
from recmodels.training.data import TrainingData
from tests.flows.commands import Terminal
from tests.flows.homes import ROOT, free_port
from tests.recmodels.worlds import a_vocabulary

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def everfeed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new project, in which this process works."""
    folder = tmp_path / "mine"
    init_project(folder)
    monkeypatch.delenv("EVERFEED_HOME", raising=False)
    monkeypatch.chdir(folder)
    discover_in(lambda: Settings().plugin_folders)
    yield folder
    discover_in(tuple)


def test_its_file_gives_the_settings_with_absolute_paths_from_any_folder_below(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "plugins" / "models")
    settings = Settings()
    assert settings.config == project / "everfeed.toml"
    assert (settings.root, settings.plugins) == (project / ".everfeed", project / "plugins")
    assert settings.run.recipes == (project / "recipes/first.json", project / "recipes/own_model.json")
    assert settings.environment()["EVERFEED_CONFIG"] == str(project / "everfeed.toml")
    assert hash(settings) == hash(Settings())


def test_the_environment_wins_over_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project / "everfeed.toml"
    file.write_text(file.read_text().replace("# gateway_port = 8700", "gateway_port = 9100"))
    assert Settings().gateway_port == 9100
    monkeypatch.setenv("EVERFEED_GATEWAY_PORT", "9200")
    assert Settings().gateway_port == 9200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gatway_port = 1", "'gatway_port' is not known. Did you mean 'gateway_port'?"),
        ("[run]\nsorce = 'table'", "'run.sorce' is not known. Did you mean 'source'?"),
        ("home = [", "is no TOML"),
        ("gateway_port = 70000", "EVERFEED_GATEWAY_PORT=70000: Input should be less than or equal to 65535"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_what_was_meant(
    everfeed: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    (tmp_path / "everfeed.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    ended = everfeed("status")
    assert ended.code == 2
    assert words in ended.err
    assert "everfeed.toml" in ended.err


def test_a_file_that_is_named_and_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFEED_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read"):
        Settings()


def test_what_it_runs_are_its_recipes_on_the_data_of_the_demo(project: Path, ml_100k_wheel: Path) -> None:
    settings = Settings()
    (project / ".everfeed" / "downloads").mkdir(parents=True)
    shutil.copy(ml_100k_wheel, project / ".everfeed" / "downloads")
    request = filled(settings, RunRequest(source=""), path=None, visitors=None)
    assert (request.source, request.path.name) == ("movielens", ml_100k_wheel.name)
    recipes = chosen_recipes(request)
    assert [recipe.name for recipe in recipes] == ["popularity", "first", "own_model"]
    assert recipes[2].model.config == {"half_life_days": 14.0}


def test_options_name_other_data_as_a_whole_and_keep_the_projects_models(project: Path) -> None:
    asked = RunRequest(source="play_log", options={"who": "w"})
    request = filled(Settings(), asked, path=Path("x.jsonl"), visitors=300)
    assert (request.source, request.path, request.options) == ("play_log", Path("x.jsonl"), {"who": "w"})
    assert (request.presets, request.visitors, len(request.recipes)) == (("popularity",), 300, 2)
    with pytest.raises(SourceError, match="--source and --path together"):
        filled(Settings(), asked, path=None, visitors=None)
    with pytest.raises(SourceError, match=r"'bundled:ml-100\.'\. Did you mean 'ml-100k'\?"):
        filled(Settings(), asked, path=Path("bundled:ml-100."), visitors=None)


@pytest.mark.slow
def test_its_whole_lifecycle_runs_from_its_own_files(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    init_project(folder)
    rng = np.random.default_rng(3)
    moments = 1_700_000_000 + np.sort(rng.integers(0, 40 * 86_400, 6000))
    rows = "".join(
        f"u{user},v{int(item)},{moment}\n"
        for user, item, moment in zip(rng.integers(0, 200, 6000), rng.exponential(12, 6000), moments, strict=True)
    )
    (folder / "events").mkdir()
    (folder / "events" / "one.csv").write_text("viewer,video,seen_at\n" + rows)
    ports = "".join(f"{name}_port = {free_port()}\n" for name in ("gateway", "console", "prefect", "mlflow"))
    text = (folder / "everfeed.toml").read_text()
    head, _, rest = text.partition("[run]")
    own = rest.partition("# [run]")[2].partition("# One home")[0].replace("\n# ", "\n").replace("\n#\n", "\n")
    channel = text[text.index("[channels.diary]") :]
    (folder / "everfeed.toml").write_text(f"{head}{ports}evidently = false\n[run]{own}visitors = 500\n\n{channel}")
    ended = subprocess.run(
        (sys.executable, "-m", "flows.cli", "run", "--json"),
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("EVERFEED_")}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    document = json.loads(ended.stdout)
    assert document["data"]["name"] == "my-feed"
    assert {model["name"] for model in document["models"]} == {"popularity", "first", "own_model"}
    assert document["champion"]
    assert (folder / ".everfeed" / "everfeed.db").exists()


def test_its_plug_ins_are_in_the_catalogues(project: Path) -> None:
    assert {"recency", "ease"} < set(MODELS.names())
    assert {"play_log", "table"} < set(SOURCES.names())
    assert {"diary", "slack"} < set(CHANNELS.names())
    assert SUITES.module("interactions").__file__ == str(project / "plugins/expectations/interactions.py")


def test_its_suite_is_the_standard_one_and_a_rule_more(project: Path) -> None:
    context = ValidationContext(as_of=AS_OF)
    own = suite_of("interactions", context)
    discover_in(tuple)
    standard = suite_of("interactions", context)
    assert [rule.reason for rule in own.rows][-1] == "timestamp is before 1995-01-01"
    assert len(own.rows) == len(standard.rows) + 1


def test_its_channel_is_among_those_that_are_told(project: Path) -> None:
    settings = Settings()
    assert set(default_channels(settings)) == {"log", "diary"}
    opened, problems = open_planned(plan_channels(settings))
    assert problems == {}
    assert opened["diary"].config.path == project / "alerts.md"  # type: ignore[attr-defined]  # of the plug-in


def test_its_source_and_its_mapping_read_the_same_events(project: Path) -> None:
    (project / "log.jsonl").write_text(
        "".join(json.dumps({"who": f"u{n % 3}", "what": f"v{n % 5}", "at": 1_700_000_000 + n}) + "\n" for n in range(9))
    )
    rows = "".join(f"u{n % 3},v{n % 5},{1_700_000_000 + n}\n" for n in range(9))
    (project / "events.csv").write_text("viewer,video,seen_at\n" + rows)
    logged = SOURCES.get("play_log")(project / "log.jsonl")  # type: ignore[operator]  # of any source
    mapped = SOURCES.get("table")(project / "events.csv", config="mapping.toml")  # type: ignore[operator]
    for column in (USER_ID, ITEM_ID, "timestamp"):
        assert logged.interactions[column].to_pylist() == mapped.interactions[column].to_pylist()
    assert (logged.name, mapped.name) == ("log", "my-feed")


def test_its_model_weighs_an_event_half_after_half_its_life(project: Path) -> None:
    day, until = 86_400_000_000, datetime(1970, 1, 29, tzinfo=UTC)
    histories = Histories.from_lists([[2, 3], [3]], [[0, 14 * day], [28 * day]])
    data = TrainingData(histories, a_vocabulary(2), np.array([0, 0, 1, 2]), until)
    fitted = MODELS.build("recency", MODELS.config("recency", {}), 4).fit(data)
    assert fitted.export().score(Histories.from_lists([[]]))[0, 2:].tolist() == [0.25, 1.5]


def test_nothing_is_written_when_one_file_is_in_the_way(everfeed: Terminal, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "first.json").write_text("mine")
    ended = everfeed("init", str(tmp_path))
    assert ended.code == 2
    assert f"{tmp_path / 'recipes' / 'first.json'} is in the way" in " ".join(ended.err.split())
    assert [path.name for path in tmp_path.rglob("*")] == ["recipes", "first.json"]  # and no everfeed.toml
    assert (tmp_path / "recipes" / "first.json").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="no project can be made"):
        init_project(tmp_path / "file" / "below")


def test_every_file_is_named_with_what_it_is(everfeed: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    ended = everfeed("init", str(folder), "--json")
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert (ended.code, set(ended.document["files"])) == (0, written)
    shown = everfeed("init", str(tmp_path / "another")).err
    assert all(name in shown for name in written)


@pytest.mark.parametrize(
    ("file", "text", "ask", "words"),
    [
        ("models/ease.py", "", lambda: MODELS.names(), "model 'ease' is there twice"),
        ("models/broken.py", "import nothing_such", lambda: MODELS.get("broken"), "ModuleNotFoundError"),
        ("models/empty.py", '"""Nothing."""', lambda: MODELS.get("empty"), "defines no 'Model'"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_said_with_its_file(
    project: Path, file: str, text: str, ask: object, words: str
) -> None:
    (project / "plugins" / file).write_text(text)
    with pytest.raises(EverfeedError, match=words) as said:
        ask()  # type: ignore[operator]  # a function of the case
    assert file in str(said.value)
