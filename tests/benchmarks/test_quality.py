import json

import pytest

from benchmarks import quality, quality_table
from recmodels.recipe import parse_recipe

RECIPES = quality.Path(quality.__file__).parent / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_is_valid_and_lies_in_the_folder_of_its_data(path):
    assert parse_recipe(path.read_text()).name == path.stem
    assert path.parent.name in quality.DATA_SETS


@pytest.mark.slow
def test_a_recipe_is_judged_once_and_told_in_a_table(shared_data, tmp_path, capsys):
    names = [str(RECIPES / "ml_latest_small" / f"{name}.json") for name in ("popularity", "item_knn")]
    arguments = [str(shared_data), *names, "--out", str(tmp_path)]
    assert quality.main([*arguments, "--validation"]) == 0
    (only,) = tmp_path.glob("*/item_knn-*/*/result.json")
    before = json.loads(only.read_text())
    assert (before["test"], before["epochs"], before["protocol"]) == ({}, [0, 0], "held out")
    assert 0 < before["validation"]["ndcg_at_10"] < 1

    assert quality.main(arguments) == 0
    value, lower, upper = json.loads(only.read_text())["test"]["ndcg_at_10"]
    assert 0 < lower < value < upper < 1
    assert "is there" not in capsys.readouterr().out
    assert quality.main(arguments) == 0
    assert capsys.readouterr().out.count("is there") == 2

    kept = tmp_path / "kept.json"
    assert quality_table.main([str(tmp_path), "--keep", str(kept)]) == 0
    told = capsys.readouterr().out
    assert told.index("| item_knn | held out |") < told.index("| popularity | held out |")
    assert f"{value:.4f} ({lower:.4f} to {upper:.4f})" in told
    assert "ml_latest_small 2" in told
    assert len(json.loads(kept.read_text())) == 2


def test_a_recipe_that_cannot_be_trained_is_told_and_the_others_go_on(shared_data, tmp_path, capsys):
    names = [str(RECIPES / "ml_latest_small" / f"{name}.json") for name in ("ease", "popularity")]
    settings = ["--set", "data.minimum_item_interactions=100000"]
    assert quality.main([str(shared_data), *names, "--out", str(tmp_path), *settings]) == 1
    said = capsys.readouterr().err
    assert said.count("no item has 100000 positive training interactions") == 2
