"""A backbone that knows one surface is adapted to another; the numbers come from the real trainer."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from recmodels.adaptation.adapter import Adapter
from recmodels.adaptation.config import AdaptationConfig
from recmodels.adaptation.focus import focus
from recmodels.adaptation.methods import install, settle, trainable
from recmodels.bundle import load_bundle
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, PADDING, UNKNOWN
from recmodels.encoders.pooled import PooledEncoder
from recmodels.encoders.transformer import TransformerEncoder
from recmodels.errors import AdapterError, RecipeError, TrainingError
from recmodels.models import MODELS
from recmodels.recipe import parse_recipe
from recmodels.training.loop import Loop
from recmodels.training.rows import Rows
from recmodels.training.trainer import Parent, train
from tests.recmodels.adaptation.worlds import a_parent, adapting, backbone, split_of
from tests.recmodels.worlds import write_trained

LOW_RANK, FROZEN, FULL = (pytest.param(name, marks=pytest.mark.slow) for name in ("low_rank", "frozen", "full"))


class Adapted:
    """One training a method."""

    def __init__(self, root) -> None:
        self.root = root
        self.parent = a_parent(root)
        self.split = split_of("video", "live")
        self._done = {}

    def __call__(self, method):
        if method not in self._done:
            recipe = adapting(self.parent, method)
            self._done[method] = train(
                recipe, self.split, checkpoint_folder=None, seed=0, parent=Parent.of(self.parent)
            )
        return self._done[method]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    return Adapted(tmp_path_factory.mktemp("bundles"))


def queries(split):
    return focus(split, AdaptationConfig(surfaces=("live",)), seed=0).test.histories


@pytest.mark.parametrize("method", ["prefix", LOW_RANK, FULL])
def test_the_loss_falls_when_a_surface_is_learned(adapted, method):
    losses = [epoch.loss for epoch in adapted(method).epochs]
    assert min(losses) < losses[0]


@pytest.mark.slow
def test_the_surface_is_known_better_when_its_data_are_enough(adapted):
    frozen = adapted("frozen").metrics["ndcg_at_10"]
    assert adapted("low_rank").metrics["ndcg_at_10"] > frozen + 0.05
    assert adapted("full").metrics["ndcg_at_10"] > frozen + 0.05
    assert adapted("full").adapter is None
    assert not adapted("frozen").epochs


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prefix", "low_rank"])
def test_the_item_vectors_are_the_parents_when_the_backbone_is_kept(adapted, method):
    ours, theirs = adapted(method).scorer.item_vectors, adapted("frozen").scorer.item_vectors
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_the_graph_has_the_parents_operators_when_a_low_rank_change_is_merged(adapted):
    assert len(adapted("low_rank").scorer.encoder) == len(adapted("frozen").scorer.encoder)
    assert set(adapted("low_rank").weights) == set(adapted("frozen").weights)


@pytest.mark.parametrize("method", ["prefix", LOW_RANK, FROZEN, FULL])
def test_a_bundle_serves_what_was_trained_when_it_is_written_and_loaded(adapted, tmp_path, method):
    trained, recipe = adapted(method), adapting(adapted.parent, method)
    bundle = load_bundle(tmp_path, write_trained(tmp_path, trained, recipe=recipe, split=adapted.split))
    histories = queries(adapted.split)
    np.testing.assert_array_equal(bundle.scorer.score(histories), trained.scorer.score(histories))
    assert bundle.manifest.warm_start.parent == adapted.parent.digest


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prefix", "low_rank"])
def test_an_adapter_file_gives_the_adapted_scores_when_it_is_applied_to_its_parent(adapted, tmp_path, method):
    trained = adapted(method)
    size = trained.adapter.save(tmp_path / "adapter.safetensors")
    loaded = Adapter.load(tmp_path / "adapter.safetensors")
    scorer = loaded.apply(adapted.parent)
    known = adapted.parent.vocabulary.encode(adapted.split.vocabulary.ids)  # (N,) in the parent's
    places = np.concatenate([[PADDING, UNKNOWN], known]).astype(np.int32)
    live = queries(adapted.split)
    rows, items = live.flat()
    live = live.take(np.setdiff1d(np.arange(len(live)), rows[places[items] == UNKNOWN]))
    assert len(live) > 5, "histories of items that both catalogues hold"
    of_parent = replace(live, items=places[live.items])
    both = known != UNKNOWN
    ours, theirs = scorer.score(of_parent)[:, known[both]], trained.scorer.score(live)[:, FIRST_ITEM:][:, both]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert size < 4 * loaded.parameters + 4000
    assert loaded.config == trained.adapter.config


def test_an_adapter_is_refused_when_the_bundle_is_another(adapted):
    other = replace(adapted.parent, digest="f" * 64)
    with pytest.raises(AdapterError, match=f"changes bundle {adapted.parent.digest[:12]}, not {other.digest[:12]}"):
        adapted("prefix").adapter.apply(other)


def test_an_adapter_is_refused_when_its_tensors_are_of_another_shape(adapted):
    adapter = adapted("prefix").adapter
    first, *_ = adapter.tensors
    with pytest.raises(AdapterError, match="are not those of bundle"):
        replace(adapter, tensors=dict(adapter.tensors) | {first: np.zeros((1, 1), np.float32)}).apply(adapted.parent)


def test_an_adapter_is_the_same_when_it_is_saved_and_loaded(adapted, tmp_path):
    adapter = adapted("prefix").adapter
    adapter.save(tmp_path / "adapter.safetensors")
    loaded = Adapter.load(tmp_path / "adapter.safetensors")
    assert loaded.config == adapter.config
    assert loaded.tensors.keys() == adapter.tensors.keys()
    assert all(np.array_equal(loaded.tensors[name], array) for name, array in adapter.tensors.items())


def test_an_adapter_file_is_refused_when_it_is_damaged(adapted, tmp_path):
    path = tmp_path / "adapter.safetensors"
    adapted("prefix").adapter.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdapterError, match="no adapter that can be read"):
        Adapter.load(path)
    with pytest.raises(AdapterError, match="no adapter that can be read"):
        Adapter.load(tmp_path / "absent.safetensors")


def test_trained_numbers_are_those_worked_out_by_hand():
    encoder = TransformerEncoder(8, num_layers=1, num_heads=2, max_length=4, dropout=0.0)
    install(encoder, AdaptationConfig(rank=3, method="low_rank", surfaces=("s",), parent="0" * 64), name="x")
    # query and output 8 x 8, key and value 16 x 8, network 32 x 8 and 8 x 32: (in + out) * rank of each
    assert sum(value.numel() for value in trainable(encoder).values()) == 3 * (16 + 16 + 24 + 40 + 40)
    prefixed = TransformerEncoder(8, num_layers=1, num_heads=2, max_length=4, dropout=0.0)
    config = AdaptationConfig(method="prefix", prefix_length=2, prefix_hidden=4, surfaces=("s",), parent="0" * 64)
    install(prefixed, config, name="x")
    assert sum(value.numel() for value in trainable(prefixed).values()) == 4 + (4 * 4 + 4) + (4 * 16 + 16)


def test_a_low_rank_change_is_nothing_before_its_first_step_and_plain_weights_after_merging():
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, num_layers=2, num_heads=2, max_length=4, dropout=0.0)
    inputs = torch.randn(2, 4, 8), torch.tensor([[False, True, True, True], [True] * 4])
    before, names = encoder(*inputs), set(encoder.state_dict())
    install(encoder, AdaptationConfig(method="low_rank", rank=2, surfaces=("s",), parent="0" * 64), name="x")
    torch.testing.assert_close(encoder(*inputs), before)
    with torch.no_grad():
        for value in trainable(encoder).values():
            value.add_(0.1)
    changed = encoder(*inputs)
    assert not torch.allclose(changed, before)
    settle(encoder)
    torch.testing.assert_close(encoder(*inputs), changed)
    assert set(encoder.state_dict()) == names


def test_padding_changes_nothing_when_a_prefix_stands_before_it():
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, num_layers=2, num_heads=2, max_length=6, dropout=0.0)
    install(encoder, AdaptationConfig(method="prefix", surfaces=("s",), parent="0" * 64), name="x")
    vectors, is_item = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    padded = torch.cat([torch.randn(1, 2, 8), vectors], dim=1), torch.nn.functional.pad(is_item, (2, 0))
    torch.testing.assert_close(encoder.last(*padded), encoder.last(vectors, is_item))


def test_the_users_of_a_small_share_are_among_those_of_a_larger_one():
    split = split_of("video", "live")
    few, more = (focus(split, AdaptationConfig(surfaces=("live",), share=share), seed=3) for share in (0.1, 0.5))
    everybody = focus(split, AdaptationConfig(surfaces=("live",)), seed=3)
    assert set(few.train_user_ids) < set(more.train_user_ids) < set(everybody.train_user_ids)
    assert all(int(name[1:]) % 2 for name in everybody.train_user_ids), "users of odd number are on live"
    assert set(few.validation.surfaces) == {"live"}
    assert len(few.train_user_ids) == -(-len(everybody.train_user_ids) // 10)


def test_only_events_of_the_surface_are_predicted_when_a_history_holds_others():
    histories = Histories.from_lists([[2, 3, 4], [5, 6]])
    is_target = np.array([False, True, False, False, False])
    rows = Rows.of(histories, length=4, uses_time=False, device=torch.device("cpu"), targets=is_target)
    assert rows.wanted.tolist() == [[False, True, False], [False, False, False]]
    model = backbone().model
    built = MODELS.build(model.name, MODELS.config(model.name, model.config), 8)
    loop = Loop(built, histories, config=backbone().trainer, seed=0, on_step=None, targets=is_target)
    assert loop.steps == 8, "one row an epoch has something to predict"


def test_a_training_is_refused_when_it_does_not_fit(adapted):
    recipe = adapting(adapted.parent, "low_rank", surfaces=["radio"])
    parent = Parent.of(adapted.parent)
    with pytest.raises(TrainingError, match=r"no event on radio\. Surfaces of the training part: live, video"):
        train(recipe, adapted.split, checkpoint_folder=None, seed=0, parent=parent)
    with pytest.raises(TrainingError, match="the bundle that was given is none"):
        train(recipe, adapted.split, checkpoint_folder=None, seed=0)
    unknown = replace(adapted.split, train_surfaces=None)
    with pytest.raises(TrainingError, match="does not say on which surface"):
        train(recipe, unknown, checkpoint_folder=None, seed=0, parent=parent)


def test_a_prefix_is_refused_when_nothing_could_look_at_it():
    encoder = PooledEncoder(8, num_means=1, hidden_dim=4, max_length=4, dropout=0.0)
    with pytest.raises(TrainingError, match="two_tower has no attention"):
        install(encoder, AdaptationConfig(method="prefix", surfaces=("s",), parent="0" * 64), name="two_tower")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"method": "full", "parent": "0" * 64}, "none is named; name some in surfaces"),
        ({"method": "full", "surfaces": ["live"]}, "set parent to its digest"),
        ({"method": "lora"}, "adaptation.method"),
        ({"share": 0}, "adaptation.share"),
        ({"parent": "abc"}, "adaptation.parent"),
    ],
)
def test_a_recipe_is_refused_when_its_adaptation_is_incomplete(section, words):
    with pytest.raises(RecipeError, match=words):
        parse_recipe(json.dumps({"name": "x", "model": {"name": "sasrec"}, "adaptation": section}))
