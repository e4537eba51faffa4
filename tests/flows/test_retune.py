"""Another release of a model with a second stage, over a real home."""

import pytest

from flows.references import Snapshot
from flows.release import release
from flows.retune import retune
from flows.train import train
from flows.wiring import platform
from infra.settings import Settings
from recmodels.bundle import load_bundle
from recmodels.data.schema import CLICKED
from recmodels.errors import RecipeError
from recmodels.presets import popularity
from recmodels.recipe import DataConfig
from tests.flows.homes import ingested
from tests.recmodels.second_stage import RECIPE

pytestmark = pytest.mark.slow


@pytest.fixture
def released(home: Settings) -> tuple[Settings, Snapshot, str]:
    snapshot = ingested()
    recipes = [popularity(DataConfig(label=CLICKED)), RECIPE]
    candidates = train(snapshot, recipes)
    release(snapshot, candidates)
    return home, snapshot, candidates[1].digest


def test_a_release_with_another_utility_meets_the_gate_and_is_registered(
    released: tuple[Settings, Snapshot, str],
) -> None:
    settings, _, digest = released
    model = digest[:12]
    with pytest.raises(RecipeError, match="would change what was trained"):
        retune(model, ["ranking.pool=30"])
    with pytest.raises(RecipeError, match="is released with this already"):
        retune(model, ["ranking.utility.liked=2"])
    before = {version.digest for version in platform().registry.versions()}
    decided = retune(model, ["ranking.utility.watch=3", 'reranking.stages=[{"name": "caps"}]'])
    (new,) = {version.digest for version in platform().registry.versions()} - before
    again = load_bundle(settings.bundles, new)
    assert again.digest != digest
    assert again.manifest.ranking is not None
    assert again.manifest.ranking.utility.watch == 3
    assert [stage.name for stage in again.manifest.reranking.stages] == ["caps"]
    assert decided.refused or decided.challenger is not None
    assert (platform().rollouts.active() is not None) == (decided.challenger is not None)
