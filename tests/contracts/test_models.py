"""What every model plug-in must hold; a new model is tested by being there."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import torch

from recmodels.bundle import Bundle, load_bundle
from recmodels.data.histories import Histories
from recmodels.data.splits import Split
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN
from recmodels.models import MODELS
from recmodels.models._gradient import GradientModel
from recmodels.ranker import Ranker
from recmodels.recipe import Recipe
from recmodels.trainer_config import TrainerConfig
from recmodels.training.checkpoints import pack, unpack
from recmodels.training.loop import Loop
from recmodels.training.trainer import Trained, train
from recmodels.training.warm_start import Parent, go_on
from tests.recmodels.worlds import DAY, a_recipe, circles_split, write_trained

VARIANTS = {"hstu, order only": ("hstu", {"time_bias": False})}
"""Models that are tested once more with other settings, where everything is run (--full)."""
_VARIANTS = [pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
FLOOR = "popularity"
SEED = 5


def plug_in(name: str) -> tuple[str, dict[str, object]]:
    """Return a model's name in the catalogue and what its settings differ in."""
    return VARIANTS.get(name, (name, {}))


def is_gradient(name: str) -> bool:
    model = MODELS.get(plug_in(name)[0])
    return isinstance(model, type) and issubclass(model, GradientModel)


NAMES = [*MODELS.names(), *_VARIANTS]
GRADIENT = [*filter(is_gradient, MODELS.names()), *_VARIANTS]
TWICE = [
    pytest.param(name, marks=pytest.mark.slow) if is_gradient(name) and name != "sasrec" else name
    for name in MODELS.names()
]
"""One trainer makes training repeatable, so that one model with a gradient shows it each time."""
PERSONAL = [name for name in NAMES if name != FLOOR]


class World:
    """One training a model, shared by all tests of this module."""

    def __init__(self, root) -> None:
        self.root = root
        self.split: Split = circles_split()
        self.models: dict[str, object] = {}
        self._trained: dict[str, Trained] = {}

    def recipe(self, name: str) -> Recipe:
        model, own = plug_in(name)
        config = ({"embedding_dim": 32} if is_gradient(name) else {}) | own
        return a_recipe(model, config, epochs=12, patience=3, batch_size=32, learning_rate=3e-3)

    def trained(self, name: str) -> Trained:
        if name not in self._trained:
            with pytest.MonkeyPatch.context() as patch:
                self._keep_model(name, patch)
                self._trained[name] = train(self.recipe(name), self.split, checkpoint_folder=None, seed=SEED)
        return self._trained[name]

    def _keep_model(self, name: str, patch: pytest.MonkeyPatch) -> None:
        model_class = MODELS.get(plug_in(name)[0])
        export = model_class.export

        def export_and_keep(model):
            self.models[name] = model
            return export(model)

        patch.setattr(model_class, "export", export_and_keep)

    def bundle(self, name: str) -> Bundle:
        recipe, trained = self.recipe(name), self.trained(name)
        return load_bundle(self.root, write_trained(self.root, trained, recipe=recipe, split=self.split))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def histories(world):
    """Histories of many lengths, one of them empty."""
    validation = world.split.validation.histories
    rows = np.linspace(0, len(validation) - 1, 20).astype(np.int64)
    chosen = validation.take(rows)
    return Histories.from_lists([*seen_lists(chosen), []], [*seen_times(chosen), []])


def seen_lists(histories):
    return [histories.row(b).tolist() for b in range(len(histories))]


def seen_times(histories):
    rows = zip(histories.starts, histories.ends, strict=True)
    return [histories.timestamps[start:end].tolist() for start, end in rows]


def test_the_catalogue_of_models_is_listed_when_asked():
    known = {"ease", "esasrec", "gru", "hstu", "ials", "item_knn", "nextitnet", "popularity", "sasrec", "two_tower"}
    assert known <= set(MODELS.names())


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_equal_when_a_model_is_saved_and_loaded(world, histories, name):
    loaded = world.bundle(name)
    np.testing.assert_array_equal(loaded.scorer.score(histories), world.trained(name).scorer.score(histories))


@pytest.mark.parametrize("name", NAMES)
def test_scores_have_one_finite_number_an_item_when_histories_are_of_any_length(world, histories, name):
    scores = world.trained(name).scorer.score(histories)
    assert scores.dtype == np.float32
    assert scores.shape == (len(histories), world.split.vocabulary.size)
    assert np.isfinite(scores[:, FIRST_ITEM:]).all()
    assert (scores[:, :FIRST_ITEM] == -np.inf).all()


@pytest.mark.parametrize("name", NAMES)
def test_unknown_items_change_nothing_when_they_stand_in_a_history(world, histories, name):
    lists, times = seen_lists(histories), seen_times(histories)
    with_unknown = Histories.from_lists(
        [[UNKNOWN, *row[:1], UNKNOWN, *row[1:], UNKNOWN] for row in lists],
        [[0, *moments[:1], 0, *moments[1:], 2**60] for moments in times],
    )
    scorer = world.trained(name).scorer
    np.testing.assert_allclose(scorer.score(with_unknown), scorer.score(histories), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moved", [1, -400 * DAY])
def test_scores_stay_when_all_times_move_alike(world, histories, name, moved):
    scorer = world.trained(name).scorer
    later = replace(histories, timestamps=histories.timestamps + moved)
    np.testing.assert_array_equal(scorer.score(later), scorer.score(histories))


@pytest.mark.parametrize("name", NAMES)
def test_a_full_list_is_served_when_the_user_is_unknown(world, name):
    slate = Ranker(world.bundle(name)).recommend([], k=10)
    assert len(set(slate.item_ids)) == 10
    assert not slate.non_finite


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_the_neighbours_when_a_batch_is_scored(world, histories, name):
    scorer = world.trained(name).scorer
    together = scorer.score(histories)
    alone = np.concatenate([scorer.score(histories.take(np.array([b]))) for b in range(len(histories))])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_permuted_when_the_batch_is(world, histories, name):
    scorer = world.trained(name).scorer
    order = np.random.default_rng(0).permutation(len(histories))
    np.testing.assert_allclose(
        scorer.score(histories.take(order)), scorer.score(histories)[order], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", TWICE)
def test_the_digest_is_the_same_when_training_is_repeated(world, name):
    repeated = train(world.recipe(name), world.split, checkpoint_folder=None, seed=SEED)
    digest = write_trained(world.root, repeated, recipe=world.recipe(name), split=world.split)
    assert digest == world.bundle(name).digest


@pytest.mark.parametrize("name", PERSONAL)
def test_a_model_is_better_than_popularity_when_the_world_has_an_order(world, name):
    assert world.trained(name).metrics["recall_at_10"] > 2 * world.trained(FLOOR).metrics["recall_at_10"]


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_is_refused_when_a_field_is_unknown(name):
    model = plug_in(name)[0]
    with pytest.raises(ValueError, match=f"model {model!r}: field 'no_such_field' is not known"):
        MODELS.config(model, {"no_such_field": 1})


def build(name, vocabulary_size=60, **config):
    torch.manual_seed(0)
    model, own = plug_in(name)
    return MODELS.build(model, MODELS.config(model, own | config), vocabulary_size)


@pytest.mark.parametrize("name", GRADIENT)
def test_exported_scores_equal_torch_when_a_model_was_trained(world, histories, name):
    scorer, model = world.trained(name).scorer, world.models[name]
    np.testing.assert_allclose(scorer.score(histories), model.score(histories), atol=1e-4)


@pytest.mark.parametrize("name", GRADIENT)
def test_training_scores_ignore_padding_when_a_longer_history_stands_beside(name):
    model = build(name).eval()
    short, long = [5, 9, 7], list(range(2, 40))
    beside = model.score(Histories.from_lists([short, long]))[0]
    np.testing.assert_allclose(beside, model.score(Histories.from_lists([short]))[0], atol=1e-4)


@pytest.mark.parametrize("name", GRADIENT)
def test_no_position_looks_ahead_when_a_history_is_encoded(name):
    model = build(name).eval()
    size = model.items.vectors().shape[1]
    vectors = torch.randn(1, 9, size, requires_grad=True)
    times = (torch.arange(9)[None],) if model.uses_time else ()
    states = model.encoder(vectors, torch.ones(1, 9, dtype=torch.bool), *times)
    (states[0, 4] @ torch.randn(size)).backward()
    reach = vectors.grad[0].abs().amax(dim=1)
    assert (reach[:5] > 0).all()
    assert not reach[5:].any()


@pytest.mark.parametrize("name", GRADIENT)
def test_a_model_learns_fifty_rows_by_heart_when_it_sees_only_those(name):
    rng = np.random.default_rng(2)
    lists = [rng.permutation(np.arange(2, 60))[:6].tolist() for _ in range(50)]
    rows = Histories.from_lists(lists)
    model = build(name, dropout=0.0)
    config = TrainerConfig(batch_size=50, learning_rate=0.01)
    loop = Loop(model, rows, config=config, seed=0, on_step=None)
    for epoch in range(1, 81):
        loop.epoch(epoch)
    prefixes = Histories.from_lists([row[:-1] for row in lists])
    found = model.score(prefixes).argmax(axis=1) == np.array([row[-1] for row in lists])
    assert found.mean() > 0.9


@pytest.mark.parametrize("name", GRADIENT)
def test_the_forecast_grows_when_the_batch_does(name):
    model = build(name)
    assert 0 < model.forecast_bytes(16) < model.forecast_bytes(256)


@pytest.mark.parametrize("name", GRADIENT)
def test_training_goes_on_to_the_bit_when_its_state_was_kept(name):
    rows = Histories.from_lists([[2, 3, 4, 5], [6, 7], [8, 9, 10, 11, 12], [13]])

    def a_loop():
        return Loop(build(name), rows, config=TrainerConfig(batch_size=2), seed=0, on_step=None)

    first, second = a_loop(), a_loop()
    first.epoch(1)
    unpack({name: value.clone() for name, value in pack(*first.state).items()}, *second.state)
    assert second.epoch(2) == first.epoch(2)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


@pytest.mark.parametrize("name", GRADIENT)
def test_a_warm_start_begins_as_its_parent_when_the_catalogue_is_the_same(world, histories, name):
    recipe, bundle = world.recipe(name), world.bundle(name)
    part = replace(world.split, train_until=world.split.train_until + timedelta(days=1))
    model = build(name, part.vocabulary.size, **recipe.model.config)
    model.prepare(part)
    report = go_on(model, Parent.of(bundle), recipe=recipe, part=part, seed=0)
    assert (report.items_new, report.items_dropped) == (0, 0)
    np.testing.assert_array_equal(model.eval().score(histories), world.models[name].score(histories))
