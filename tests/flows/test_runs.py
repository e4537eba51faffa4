"""`everfeed run`: what the command line asked for becomes recipes and data, or is refused before anything starts."""

import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from flows.progress import Terminal, shown_on, stage
from flows.runs import RunRequest, chosen_recipes, run_lifecycle, seconds
from infra.settings import Settings
from recmodels.errors import RecipeError, SourceError
from recmodels.presets import PRESETS, STANDARD


def _request(source: str = "movielens", *, path: Path = Path(), **fields: object) -> RunRequest:
    return RunRequest(source=source, path=path, **fields)  # type: ignore[arg-type]  # of any field


def _recipe_file(folder: Path, name: str = "mine") -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "model": {"name": "item_knn", "config": {"neighbours": 7}}}))
    return path


def test_the_standard_presets_are_trained_when_none_is_named() -> None:
    assert [recipe.name for recipe in chosen_recipes(_request())] == list(STANDARD)


def test_every_preset_can_be_trained_when_it_is_named() -> None:
    assert [recipe.name for recipe in chosen_recipes(_request(presets=tuple(PRESETS)))] == list(PRESETS)


def test_presets_are_trained_in_the_order_in_which_they_are_named() -> None:
    chosen = chosen_recipes(_request(presets=("sasrec", "popularity")))
    assert [recipe.name for recipe in chosen] == ["sasrec", "popularity"]


def test_a_recipe_file_is_trained_alone_when_no_preset_is_named(tmp_path: Path) -> None:
    (recipe,) = chosen_recipes(_request(recipes=(_recipe_file(tmp_path),)))
    assert (recipe.name, recipe.model.config["neighbours"]) == ("mine", 7)


def test_a_recipe_file_comes_after_the_presets_when_both_are_named(tmp_path: Path) -> None:
    chosen = chosen_recipes(_request(presets=("ease",), recipes=(_recipe_file(tmp_path),)))
    assert [recipe.name for recipe in chosen] == ["ease", "mine"]


def test_every_recipe_is_changed_when_a_field_is_set(tmp_path: Path) -> None:
    overrides = ("split.test_fraction=0.3", "seed=4")
    chosen = chosen_recipes(_request(presets=("ease",), recipes=(_recipe_file(tmp_path),), overrides=overrides))
    assert [(recipe.split.test_fraction, recipe.seed) for recipe in chosen] == [(0.3, 4), (0.3, 4)]


def test_every_recipe_asks_for_a_warm_start_when_the_run_does() -> None:
    asked, plain = (chosen_recipes(_request(is_warm=is_warm)) for is_warm in (True, False))
    assert [recipe.warm_start.enabled for recipe in asked] == [True] * len(STANDARD)
    assert [recipe.warm_start.enabled for recipe in plain] == [False] * len(STANDARD)


@pytest.mark.parametrize(
    ("source", "label", "expected"),
    [
        ("movielens", "", "any"),
        ("kuairand", "", "long_viewed"),
        ("kuairand", "clicked", "clicked"),
        ("table", "liked", "liked"),
    ],
)
def test_the_label_is_the_sources_own_when_none_is_named(source: str, label: str, expected: str) -> None:
    chosen = chosen_recipes(_request(source, label=label))
    assert {recipe.data.label for recipe in chosen} == {expected}


def test_a_recipe_file_is_named_when_it_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.json cannot be read.*Give a JSON file"):
        chosen_recipes(_request(recipes=(tmp_path / "none.json",)))


def test_a_recipe_is_refused_when_it_asks_for_a_refit() -> None:
    with pytest.raises(RecipeError, match="refit is set in popularity, ease, but what a lifecycle"):
        chosen_recipes(_request(presets=("popularity", "ease"), overrides=("refit=true",), recipes=()))


def test_a_recipe_file_is_named_when_it_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"mine\.json cannot be read"):
        chosen_recipes(_request(recipes=(path,)))


def test_nothing_is_started_when_the_path_does_not_exist(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(SourceError, match=r"none does not exist\. Give the file or folder that 'movielens' reads"):
        run_lifecycle(settings, _request(path=tmp_path / "none"), screen=Console(quiet=True))
    assert not settings.root.exists()


def test_seconds_add_up_by_stage_when_a_stage_runs_twice() -> None:
    with shown_on(Console(quiet=True)) as terminal:
        for _ in range(2):
            with stage("canary"):
                time.sleep(0.06)
    found = seconds(terminal)
    assert set(found) == {"canary", "total"}
    assert 0.1 <= found["canary"] <= found["total"]


def test_a_stage_is_not_reported_as_done_when_it_raises() -> None:
    with shown_on(Console(quiet=True)) as terminal, pytest.raises(RecipeError), stage("train"):
        raise RecipeError("no")
    assert isinstance(terminal, Terminal)
    assert terminal.seconds == {}
