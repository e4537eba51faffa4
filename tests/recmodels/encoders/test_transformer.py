import pytest
import torch

from recmodels.encoders.transformer import TransformerEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TransformerEncoder(16, num_layers=2, num_heads=4, max_length=12, dropout=0.5).eval()


def padded(vectors, count):
    return torch.cat([torch.randn(len(vectors), count, vectors.shape[2]), vectors], dim=1)


def test_shape_is_kept_when_a_batch_is_encoded(encoder):
    assert encoder(torch.randn(3, 7, 16), torch.ones(3, 7, dtype=torch.bool)).shape == (3, 7, 16)


def test_a_position_does_not_change_when_later_items_do(encoder):
    vectors, is_item = torch.randn(2, 8, 16), torch.ones(2, 8, dtype=torch.bool)
    changed = vectors.clone()
    changed[:, 5:] = torch.randn(2, 3, 16)
    before, after = encoder(vectors, is_item), encoder(changed, is_item)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 0.01


def test_a_position_changes_when_an_earlier_item_does(encoder):
    vectors, is_item = torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.bool)
    changed = vectors.clone()
    changed[:, 0] = torch.randn(16)
    assert ((encoder(vectors, is_item) - encoder(changed, is_item)).abs().amax(dim=2) > 1e-4).all()


def test_items_are_encoded_alike_when_padding_stands_before_them(encoder):
    vectors, is_item = torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.bool)
    more = torch.cat([torch.zeros(2, 4, dtype=torch.bool), is_item], dim=1)
    torch.testing.assert_close(encoder(padded(vectors, 4), more)[:, 4:], encoder(vectors, is_item))


def test_order_matters_when_the_same_items_are_permuted(encoder):
    vectors, is_item = torch.randn(1, 5, 16), torch.ones(1, 5, dtype=torch.bool)
    swapped = vectors[:, [1, 0, 2, 3, 4]]
    assert (encoder.last(vectors, is_item) - encoder.last(swapped, is_item)).abs().max() > 1e-3


def test_last_is_the_last_position_when_only_that_is_computed(encoder):
    vectors = torch.randn(3, 6, 16)
    is_item = torch.arange(6) >= torch.tensor([[0], [2], [6]])
    torch.testing.assert_close(encoder.last(vectors, is_item), encoder(vectors, is_item)[:, -1])


def test_padding_gives_one_finite_vector_when_a_history_is_empty(encoder):
    start = torch.randn(16).expand(2, 6, 16)
    states = encoder(start, torch.zeros(2, 6, dtype=torch.bool))
    torch.testing.assert_close(states, states[:1, :1].expand_as(states))
    assert states.isfinite().all()
