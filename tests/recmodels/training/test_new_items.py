import numpy as np
import pytest
import torch

from recmodels.bundle import load_bundle
from recmodels.data.schema import CATEGORY
from recmodels.errors import TrainingError
from recmodels.models import MODELS
from recmodels.scorers import EncoderScorer
from recmodels.trainer_config import TrainerConfig
from recmodels.training.loop import Loop
from recmodels.training.new_items import content_vectors
from tests.recmodels.graphs import summing_encoder
from tests.recmodels.worlds import CIRCLES, a_recipe, circles_split, full_items, save_bundle

CONFIG = {"embedding_dim": 16, "max_length": 8, "content": {"text": None, "label_buckets": 512}, "id_dropout": 0.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A two-tower trained on the circles, its split, and its bundle."""
    split = circles_split(users=120)
    torch.manual_seed(0)
    model = MODELS.build("two_tower", MODELS.config("two_tower", CONFIG), split.vocabulary.size)
    model.prepare(split)
    loop = Loop(model, split.train, config=TrainerConfig(batch_size=32, learning_rate=0.01), seed=0, on_step=None)
    for number in range(1, 16):
        loop.epoch(number)
    root = tmp_path_factory.mktemp("bundles")
    digest = save_bundle(
        root,
        EncoderScorer(summing_encoder(16), model.items.vectors().detach().numpy(), max_length=8),
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=a_recipe("two_tower", CONFIG),
        weights={name: value.numpy() for name, value in model.state_dict().items()},
    )
    return model, split, load_bundle(root, digest)


def test_a_new_item_is_what_the_model_makes_of_its_content_when_it_has_no_id(world):
    model, split, bundle = world
    expected = (model.items.vectors() - model.items.weight)[2:].detach().numpy()
    np.testing.assert_allclose(content_vectors(bundle, split.items), expected, atol=1e-5)


def test_a_new_item_of_a_circle_is_found_by_those_who_walk_it(world):
    model, split, bundle = world
    new = full_items({f"new {n}": {"category": f"c{n}"} for n in range(CIRCLES)})
    vectors = content_vectors(bundle, new)
    circle = np.array([int(name[1]) for name in split.items[CATEGORY].to_pylist()])
    states = torch.zeros(CIRCLES, 5, 16)
    for number in range(CIRCLES):
        states[number] = model.items.vectors()[2:][circle == number][:5].detach()
    with torch.no_grad():
        queries = model.encoder.last(states, torch.ones(CIRCLES, 5, dtype=torch.bool)).numpy()
    assert (queries @ vectors.T).argmax(axis=1).tolist() == list(range(CIRCLES))


def test_a_model_without_content_is_refused_with_what_to_do(tmp_path):
    vectors = np.zeros((4, 16), np.float32)
    digest = save_bundle(tmp_path, EncoderScorer(summing_encoder(16), vectors, max_length=8), recipe=a_recipe("sasrec"))
    with pytest.raises(TrainingError, match=r"knows items by their ids alone.*Train with model\.config\.content"):
        content_vectors(load_bundle(tmp_path, digest), full_items({"n": {}}))
