import pytest

from recmodels.models import MODELS
from recmodels.presets import PRESETS, STANDARD, presets
from recmodels.recipe import DataConfig


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_recipe_of_its_name_when_it_is_called(name):
    recipe = PRESETS[name]()
    assert (recipe.name, recipe.model.name) == (name, name)
    assert recipe.data == DataConfig()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_learns_from_the_label_when_one_is_given(name):
    data = DataConfig(label="long_viewed", minimum_item_interactions=5)
    assert PRESETS[name](data).data == data


def test_presets_are_of_known_models_when_they_are_listed():
    assert {preset().model.name for preset in PRESETS.values()} <= set(MODELS.names())


def test_the_standard_presets_are_made_when_none_is_named():
    assert tuple(recipe.name for recipe in presets()) == STANDARD
