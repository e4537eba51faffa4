import subprocess
import sys
from pathlib import Path

import pytest

from recmodels.errors import EverfeedError, RecipeError, UnknownNameError
from recmodels.models import MODELS, ModelConfigError
from recmodels.recipe import parse_recipe

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "code",
    [
        "from recmodels.models import MODELS; assert 'sasrec' in MODELS.names()",
        "from recmodels.models import MODELS; MODELS.config('ease', {'regularisation': 10})",
        "from recmodels.recipe import parse_recipe; parse_recipe({'name': 'a', 'model': {'name': 'item_knn'}})",
        "import recmodels.ranker, recmodels.bundle, recmodels.scorers",
    ],
)
def test_torch_is_not_imported_when_it_is_not_needed(code):
    check = f"{code}; import sys; assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_model_is_answered_with_the_known_ones_when_it_is_asked_for():
    with pytest.raises(ModelConfigError, match=r"'sasrek' is not known. Did you mean 'sasrec'\? Known: ease, esasrec"):
        MODELS.config("sasrek", {})
    with pytest.raises(UnknownNameError, match="Did you mean 'sasrec'"):
        MODELS.build("sasrek", MODELS.config("ease", {}), 5)


def test_an_unknown_field_is_answered_with_the_known_ones_when_it_is_given():
    with pytest.raises(ModelConfigError, match=r"field 'neighbors' is not known. Did you mean 'neighbours'"):
        MODELS.config("item_knn", {"neighbors": 5})


def test_a_value_is_named_with_its_place_when_it_is_out_of_range():
    with pytest.raises(ModelConfigError, match=r"model 'ease': regularisation: .*greater than 0, got -1\."):
        MODELS.config("ease", {"regularisation": -1})
    with pytest.raises(ModelConfigError, match="num_heads 3 must divide embedding_dim 64"):
        MODELS.config("sasrec", {"num_heads": 3})


def test_the_error_is_both_ours_and_a_value_error_when_a_configuration_is_bad():
    assert issubclass(ModelConfigError, EverfeedError)
    assert issubclass(ModelConfigError, ValueError)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "sasrek"}, r"model.name: .*'sasrek' is not known. Did you mean 'sasrec'\? Known: ease"),
        ({"name": "ease", "config": {"lambda": 3}}, "model 'ease': field 'lambda' is not known"),
    ],
)
def test_a_recipe_carries_the_reason_when_its_model_is_not_valid(model, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"name": "a", "model": model})


def test_defaults_are_filled_in_when_fields_are_left_out():
    assert MODELS.config("item_knn", {"neighbours": 7}).model_dump() == {
        "neighbours": 7,
        "shrinkage": 0.0,
        "history_length": 0,
    }
