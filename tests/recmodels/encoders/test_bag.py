import pytest
import torch

from recmodels.encoders.bag import BagEncoder

SIZE = 8


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return BagEncoder(SIZE, hidden_dim=12, dropout=0.5).eval()


@pytest.fixture
def row():
    return torch.randn(1, 5, SIZE), torch.tensor([[False, True, True, True, True]])


def test_padding_and_later_items_change_nothing(encoder, row):
    vectors, is_item = row
    changed = vectors.clone()
    changed[:, 0], changed[:, 4] = 9.0, 7.0
    torch.testing.assert_close(encoder(changed, is_item)[:, :4], encoder(vectors, is_item)[:, :4])
    torch.testing.assert_close(encoder.last(vectors, is_item), encoder(vectors, is_item)[:, -1])
    torch.testing.assert_close(encoder.last(vectors[:, 1:], is_item[:, 1:]), encoder.last(vectors, is_item))


def test_order_counts_for_nothing(encoder, row):
    vectors, is_item = row
    torch.testing.assert_close(encoder.last(vectors[:, [0, 4, 2, 1, 3]], is_item), encoder.last(vectors, is_item))


def test_others_are_the_row_without_the_position_itself(encoder, row):
    vectors, is_item = row
    found = encoder.others(vectors, is_item)[0]
    for place in range(1, 5):
        rest = [other for other in range(1, 5) if other != place]
        expected = encoder.last(vectors[:, rest], torch.ones(1, 3, dtype=torch.bool))[0]
        torch.testing.assert_close(found[place], expected)


def test_the_only_item_is_found_from_nothing(encoder):
    vectors = torch.randn(1, 2, SIZE)
    alone = encoder.others(vectors, torch.tensor([[False, True]]))[0, 1]
    torch.testing.assert_close(alone, encoder.last(vectors, torch.zeros(1, 2, dtype=torch.bool))[0], atol=1e-5, rtol=0)
