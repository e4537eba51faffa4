import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from recmodels.data.schema import CATEGORY
from recmodels.models import MODELS, ModelConfigError
from recmodels.models.two_tower import Model
from recmodels.training.rows import Rows
from tests.recmodels.worlds import circles_split


@pytest.fixture(scope="module")
def split():
    return circles_split(users=60)


def a_model(split, **config):
    torch.manual_seed(0)
    values = {"embedding_dim": 8, "content": {"text": None}} | config
    model = MODELS.build("two_tower", MODELS.config("two_tower", values), split.vocabulary.size)
    model.prepare(split)
    return model


def test_the_catalogue_is_shown_when_a_model_is_prepared(split):
    model = a_model(split)
    np.testing.assert_allclose(model.frequency.numpy(), split.item_counts / split.item_counts.sum(), rtol=1e-6)
    circle = pc.dictionary_encode(split.items[CATEGORY]).combine_chunks().indices.to_numpy()
    labels = model.items.labels_of[2:].numpy()[:, 0]
    assert len(set(zip(circle.tolist(), labels.tolist(), strict=True))) == len(set(circle.tolist()))
    assert not model.items.labels_of[:2].any()


def test_negatives_are_targets_of_the_batch_and_others_when_they_are_drawn(split):
    model = a_model(split, in_batch=2, negatives=5)
    target = torch.tensor([2, 3, 3, 9])
    sample = model.negatives(target)
    assert len(sample.ids) == 7 <= model.most_negatives
    assert set(sample.ids[:2].tolist()) <= {2, 3, 9}


def test_a_model_knows_ids_alone_when_content_is_none(split):
    model = a_model(split, content=None, id_dropout=0.0).eval()
    torch.testing.assert_close(model.items.vectors(), model.items.weight)
    assert not torch.allclose((other := a_model(split).eval()).items.vectors()[2:], other.items.weight[2:])


def test_id_dropout_is_refused_when_there_is_no_content():
    with pytest.raises(ModelConfigError, match=r"id_dropout 0\.3 leaves nothing of an item; set content"):
        MODELS.config("sasrec", {"id_dropout": 0.3})


def test_a_loss_is_refused_when_it_does_not_correct_for_popular_negatives():
    with pytest.raises(ModelConfigError, match="loss 'gbce' takes no account of how often an item is a negative"):
        MODELS.config("two_tower", {"loss": "gbce"})


def test_the_forecast_grows_by_what_is_shown_when_items_have_text(split):
    bare, written = (a_model(split, content={"text": text}) for text in (None, "hashed"))
    texts = split.vocabulary.size * 256 * 4
    assert written.forecast_bytes(8) - bare.forecast_bytes(8) > texts


def test_any_sequence_model_reads_content_when_it_is_asked_to(split):
    config = {"embedding_dim": 8, "max_length": 4, "num_layers": 1, "content": {"text": None, "label_buckets": 64}}
    model = MODELS.build("sasrec", MODELS.config("sasrec", config), split.vocabulary.size)
    model.prepare(split)
    assert model.items.labels.weight.shape == (65, 8)
    loss = model.loss(Rows(torch.tensor([[0, 2, 3], [4, 5, 6]]), None))
    loss.backward()
    assert model.items.labels.weight.grad.abs().sum() > 0
    assert not isinstance(model, Model)
