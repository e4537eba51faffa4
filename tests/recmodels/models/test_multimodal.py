import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from recmodels.bundle import load_bundle
from recmodels.data.histories import Histories
from recmodels.data.schema import ITEM_ID, TEXT
from recmodels.models import MODELS, ModelConfigError
from recmodels.scorers import EncoderScorer
from recmodels.trainer_config import TrainerConfig
from recmodels.training.loop import Loop
from recmodels.training.new_items import content_vectors
from recmodels.training.rows import Rows
from tests.recmodels.graphs import summing_encoder
from tests.recmodels.worlds import CIRCLES, a_recipe, circles_split, full_items, save_bundle


def a_model(split, **config):
    torch.manual_seed(0)
    model = MODELS.build(
        "multimodal", MODELS.config("multimodal", {"embedding_dim": 16} | config), split.vocabulary.size
    )
    model.prepare(split)
    return model


@pytest.fixture(scope="module")
def split():
    return circles_split(users=120)


@pytest.fixture(scope="module")
def pictures(split, tmp_path_factory):
    """Settings of pictures that show an item's circle, of known items and of one new item a circle."""
    folder = tmp_path_factory.mktemp("pictures")
    names = [*split.items[ITEM_ID].to_pylist(), *(f"c{n}-new" for n in range(CIRCLES))]
    (folder / "ids.txt").write_text("\n".join(names))
    noise = np.random.default_rng(0).normal(0, 0.1, (len(names), CIRCLES))
    rows = np.eye(CIRCLES)[[int(name[1]) for name in names]] + noise
    np.save(folder / "image.npy", rows.astype(np.float32))
    digest = hashlib.sha256((folder / "image.npy").read_bytes()).hexdigest()
    file, ids = str(folder / "image.npy"), str(folder / "ids.txt")
    return {"modalities": [{"name": "image", "file": file, "sha256": digest, "ids": ids}]}


def test_every_item_is_found_from_the_others_when_the_loss_is_taken(split):
    model = a_model(split, loss="cross_entropy").eval()
    rows = [[5, 9, 7], [4]]
    found = model.loss(Rows(torch.tensor([[0, 5, 9, 7], [0, 0, 0, 4]]), None)).item()
    others = [([9, 7], 5), ([5, 7], 9), ([5, 9], 7), ([], 4)]
    scores = model.score(Histories.from_lists([history for history, _ in others]))[:, 2:]
    logs = torch.from_numpy(scores).log_softmax(dim=1)
    expected = -sum(logs[n, target - 2].item() for n, (_, target) in enumerate(others)) / sum(map(len, rows))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_first_event_of_a_row_that_goes_on_is_input_only(split):
    model = a_model(split, loss="cross_entropy", max_length=2).eval()
    found = model.loss(Rows(torch.tensor([[5, 9, 7]]), None)).item()
    scores = model.score(Histories.from_lists([[5, 7], [5, 9]]))[:, 2:]
    logs = torch.from_numpy(scores).log_softmax(dim=1)
    assert found == pytest.approx(-(logs[0, 7].item() + logs[1, 5].item()) / 2, rel=1e-5)


def test_scores_do_not_depend_on_the_order_of_a_history(split):
    model = a_model(split).eval()
    one, other = model.score(Histories.from_lists([[4, 8, 6], [6, 4, 8]]))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_alignment_is_a_part_of_the_loss_when_it_has_weight(split, pictures):
    rows = Rows(torch.tensor([[0, 5, 9, 7], [0, 0, 4, 3]]), None)
    exact = pictures | {"loss": "cross_entropy", "modality_dropout": 0.0}
    without, light = (a_model(split, **exact, alignment=weight).eval() for weight in (0.0, 0.5))
    aligned = light.items.alignment(torch.tensor([3, 4, 5, 7, 9]), temperature=light.config.temperature)
    assert light.loss(rows).item() == pytest.approx((without.loss(rows) + 0.5 * aligned).item(), rel=1e-5)


def test_a_new_item_is_found_by_its_picture_when_it_has_no_past(split, pictures, tmp_path):
    model = a_model(split, **pictures, id_dropout=0.5, alignment=0.1)
    loop = Loop(model, split.train, config=TrainerConfig(batch_size=32, learning_rate=0.01), seed=0, on_step=None)
    for number in range(1, 16):
        loop.epoch(number)
    model.eval()
    digest = save_bundle(
        tmp_path,
        EncoderScorer(summing_encoder(16), model.items.vectors().detach().numpy(), max_length=8),
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=a_recipe("multimodal", model.config.model_dump(mode="json")),
        weights={name: value.numpy() for name, value in model.state_dict().items()},
    )
    new = full_items({f"c{n}-new": {} for n in range(CIRCLES)})
    vectors = content_vectors(load_bundle(tmp_path, digest), new)
    circle = np.array([int(name[1]) for name in split.items[ITEM_ID].to_pylist()])
    seen = [(np.flatnonzero(circle == n)[:5] + 2).tolist() for n in range(CIRCLES)]
    with torch.no_grad():
        rows = torch.tensor(seen)
        queries = model.encoder.last(model.items.vectors(rows), torch.ones_like(rows, dtype=torch.bool)).numpy()
    assert (queries @ vectors.T).argmax(axis=1).tolist() == list(range(CIRCLES))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"id_dropout": 0.3}, "id_dropout 0.3 leaves nothing of an item; set modalities"),
        ({"alignment": 0.1}, "alignment needs modalities beside the id"),
        ({"content": {"text": None}}, "content is read by two_tower"),
        ({"modalities": [{"name": "a", "text": "hashed"}, {"name": "a", "text": "hashed"}]}, "called a, a; give each"),
    ],
)
def test_settings_are_refused_when_they_contradict_each_other(config, words):
    with pytest.raises(ModelConfigError, match=words):
        MODELS.config("multimodal", config)


def test_what_is_written_is_learned_from_when_text_is_a_modality(split):
    texts = [f"circle {name[1]}" for name in split.items[ITEM_ID].to_pylist()]
    written = split.items.set_column(split.items.schema.get_field_index(TEXT), TEXT, pa.array(texts))
    text = {"modalities": [{"name": "text", "text": "hashed", "text_config": {"embedding_dim": 8}}]}
    model = a_model(replace(split, items=written), **text)
    model.loss(Rows(torch.tensor([[0, 2, 3], [4, 5, 6]]), None)).backward()
    assert model.items.projections["text"].weight.grad.abs().sum() > 0
