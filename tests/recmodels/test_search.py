"""What a search may be, and what is refused before its first trial."""

import json
from typing import Any

import pytest

from recmodels.errors import RecipeError
from recmodels.recipe import parse_recipe
from recmodels.search import SearchConfig, parse_search, without_test
from tests.recmodels.worlds import circles_split

SASREC = {"name": "sasrec", "config": {"embedding_dim": 16, "num_heads": 2}}
RATE = {"kind": "log", "low": 0.001, "high": 0.1}


def search(space: dict[str, Any], *, model: Any = SASREC, **changes: Any) -> SearchConfig:
    recipe = {"name": "small", "model": model, **changes.pop("recipe", {})}
    return parse_search({"recipe": recipe, "space": space, **changes})


def test_a_search_is_read_back_the_same_when_it_was_written_as_json() -> None:
    space = {
        "trainer.learning_rate": RATE,
        "model.config.dropout": {"kind": "uniform", "low": 0, "high": 0.5},
        "model.config.num_layers": {"kind": "int", "low": 1, "high": 3},
        "model.config.loss": {"kind": "choice", "values": ["bce", "gbce"]},
    }
    made = search(space, trials=7, pruner={"kind": "hyperband"})
    assert parse_search(made.model_dump_json()) == made
    assert parse_search(json.loads(made.model_dump_json())).digest == made.digest


def test_a_search_is_the_same_when_only_the_number_of_trials_differs() -> None:
    space = {"trainer.learning_rate": RATE}
    assert search(space, trials=3).digest == search(space, trials=30).digest
    assert search(space, seed=1).digest != search(space, seed=2).digest


@pytest.mark.parametrize(
    ("path", "dimension", "words"),
    [
        ("trainer.learning_rat", RATE, "'trainer.learning_rat' holds 0.001"),
        ("trainer.learning_rat", RATE, "Did you mean 'learning_rate'?"),
        ("model.config.hiden", {"kind": "int", "low": 1, "high": 2}, "field 'hiden' is not known"),
        ("model.config.dropout", {"kind": "uniform", "low": 0.0, "high": 1.5}, "'model.config.dropout' holds 1.5"),
        ("model.config.loss", {"kind": "choice", "values": ["bce", "hinge"]}, "'hinge'"),
        ("trainer.epochs", {"kind": "uniform", "low": 1.5, "high": 3}, "holds 1.5"),
        ("trainer.learning_rate", {"kind": "log", "low": 0, "high": 1}, "greater than 0"),
        ("trainer.learning_rate", {"kind": "uniform", "low": 2, "high": 1}, "low 2.0 must be below high 1.0"),
        ("trainer.batch_size", {"kind": "int", "low": 32, "high": 100, "step": 32}, "steps of 32 from 32 do not reach"),
        ("trainer.batch_size", {"kind": "int", "low": 32, "high": 96, "step": 32, "log": True}, "step 1"),
        ("trainer.learning_rate", {"kind": "gauss", "low": 1, "high": 2}, "uniform"),
        ("trainer.learning_rate", {"kind": "log", "low": 1e-3, "high": 0.1, "base": 2}, "base"),
        ("model.config.loss", {"kind": "choice", "values": ["bce", "bce"]}, "must differ"),
        ("model.config.loss", {"kind": "choice", "values": ["bce"]}, "at least 2"),
        ("seed", {"kind": "int", "low": 0, "high": 9}, "cannot be searched"),
        ("split.test_fraction", {"kind": "uniform", "low": 0.1, "high": 0.2}, "cannot be searched"),
        ("evaluation.remove_seen", {"kind": "choice", "values": [True, False]}, "cannot be searched"),
    ],
)
def test_a_space_is_refused_when_no_recipe_takes_it(path: str, dimension: Any, words: str) -> None:
    with pytest.raises(RecipeError, match="The search is not valid") as refused:
        search({path: dimension})
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "Give one JSON object, such as"),
        ("[]", "Give one JSON object, such as"),
        ({"space": {"trainer.learning_rate": RATE}}, "recipe: Field required"),
        ({"recipe": {"name": "a", "model": {"name": "ease"}}, "space": {}}, "space: Dictionary should have at least 1"),
        ({"recipe": {"name": "a", "model": {"name": "eas"}}, "space": {}}, "Did you mean 'ease'?"),
        ({"recipe": {"name": "a", "model": {"name": "ease"}}, "space": {}, "trails": 3}, "trails"),
    ],
)
def test_a_search_is_refused_when_it_is_no_search(value: Any, words: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_search(value)
    assert words in str(refused.value)


def test_a_search_is_refused_when_its_recipe_would_go_on_from_a_champion() -> None:
    with pytest.raises(RecipeError, match="trained from scratch"):
        search({"trainer.learning_rate": RATE}, recipe={"warm_start": {"enabled": True}})


def test_a_value_is_taken_when_it_goes_with_a_value_of_another_dimension_only() -> None:
    heads = {"kind": "int", "low": 1, "high": 2}
    odd = {"kind": "choice", "values": [15, 16]}
    with pytest.raises(RecipeError, match="15"):
        search({"model.config.embedding_dim": odd})  # the base recipe has two heads, which do not divide 15
    assert search({"model.config.embedding_dim": odd, "model.config.num_heads": heads}).trials == 20


@pytest.mark.parametrize(
    ("dimension", "is_held"),
    [
        ({"kind": "int", "low": 64, "high": 192, "step": 64}, True),
        ({"kind": "int", "low": 32, "high": 160, "step": 64}, False),
        ({"kind": "uniform", "low": 1, "high": 128}, True),
        ({"kind": "int", "low": 256, "high": 512}, False),
        ({"kind": "choice", "values": [128, 256]}, True),
        ({"kind": "choice", "values": [64, 256]}, False),
    ],
)
def test_the_first_values_are_those_of_the_recipe_when_the_space_holds_them(dimension: Any, is_held: bool) -> None:
    if dimension["kind"] == "uniform":
        made = search({"trainer.gradient_norm": dimension}, recipe={"trainer": {"gradient_norm": 128.0}})
        assert made.first_values == {"trainer.gradient_norm": 128.0}
    else:
        made = search({"trainer.batch_size": dimension}, recipe={"trainer": {"batch_size": 128}})
        assert made.first_values == ({"trainer.batch_size": 128} if is_held else None)


def test_a_recipe_of_a_trial_is_the_base_with_its_values_when_they_go_together() -> None:
    made = search({"trainer.learning_rate": RATE}, recipe={"name": "x" * 60})
    recipe = made.recipe_of({"trainer.learning_rate": 0.02})
    assert recipe.trainer.learning_rate == 0.02
    assert recipe.name == "x" * 54 + "-tuned"
    assert recipe.model == made.recipe.model
    assert parse_recipe(recipe.model_dump_json()) == recipe


def test_nothing_is_asked_of_the_test_part_when_a_split_is_searched_on() -> None:
    whole = circles_split(users=20)
    blind = without_test(whole)
    assert len(whole.test) > 0
    assert len(blind.test) == blind.test.targets.flat().items.size == 0
    assert blind.validation is whole.validation
    assert blind.train is whole.train
