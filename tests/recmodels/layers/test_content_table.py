import numpy as np
import pytest
import torch

from recmodels.content import ContentConfig
from recmodels.item_features import ItemFeatures
from recmodels.layers.content_table import ContentTable

LABELS = np.array([[3, 4], [4, 0], [0, 0]])
TEXTS = np.array([[1, 0], [0, 0], [0.6, 0.8]], np.float32)
CONTENT = ContentConfig(label_buckets=4, text_config={"embedding_dim": 2})


@pytest.fixture
def table():
    torch.manual_seed(0)
    table = ContentTable(5, 6, content=CONTENT, id_dropout=0.5)
    table.show(ItemFeatures(LABELS, TEXTS))
    return table


def test_a_vector_is_the_sum_of_id_mean_label_and_text_when_content_is_shown(table):
    table.eval()
    names, written = table.labels.weight, table.text.weight.T
    expected = table.weight.clone()
    expected[2] += (names[3] + names[4]) / 2 + written[0]
    expected[3] += names[4]
    expected[4] += 0.6 * written[0] + 0.8 * written[1]
    torch.testing.assert_close(table.vectors(), expected)
    ids = torch.tensor([[4, 0, 2], [1, 3, 3]])
    torch.testing.assert_close(table.vectors(ids), expected[ids])


def test_ids_alone_are_left_out_while_training_and_never_the_vector_that_starts_a_history(table):
    content = table.eval().vectors() - table.weight
    ids = torch.tensor([0, 2, 3, 4]).repeat(200, 1)
    drawn = table.train().vectors(ids) - content[ids]
    is_left_out = (drawn.abs().amax(dim=2) < 1e-6).float().mean(dim=0)
    assert is_left_out[0] == 0
    assert (is_left_out[1:] - 0.5).abs().max() < 0.15
    torch.testing.assert_close(drawn[:, 0], table.weight[0].expand(200, 6))


def test_there_are_ids_only_when_nothing_was_shown():
    table = ContentTable(5, 6, content=CONTENT, id_dropout=0.0)
    torch.testing.assert_close(table.vectors(), table.weight)


def test_content_is_no_weight_when_a_table_is_stored(table):
    assert table.state_dict().keys() == {"weight", "labels.weight", "text.weight"}
    bare = ContentTable(5, 6, content=ContentConfig(text=None, label_buckets=4), id_dropout=0.0)
    bare.show(ItemFeatures(LABELS, np.zeros((3, 0), np.float32)))
    torch.testing.assert_close(bare.vectors()[4], bare.weight[4])
    assert not torch.equal(bare.vectors()[2], bare.weight[2])
