"""What every encoder holds; a new one is a line in `tests.recmodels.encoders.encoders`."""

import pytest
import torch

from tests.recmodels.encoders.encoders import ENCODERS, SIZE, Timed


@pytest.fixture(params=ENCODERS)
def encoder(request):
    torch.manual_seed(0)
    encoder = ENCODERS[request.param]().eval()
    return Timed(encoder) if encoder.uses_time else encoder


def padded(vectors, count):
    return torch.cat([torch.randn(len(vectors), count, SIZE), vectors], dim=1)


def items(batch, length):
    return torch.randn(batch, length, SIZE), torch.ones(batch, length, dtype=torch.bool)


def test_shape_is_kept_when_a_batch_is_encoded(encoder):
    assert encoder(*items(3, 7)).shape == (3, 7, SIZE)


def test_a_position_does_not_change_when_later_items_do(encoder):
    vectors, is_item = items(2, 8)
    changed = vectors.clone()
    changed[:, 5:] = torch.randn(2, 3, SIZE)
    before, after = encoder(vectors, is_item), encoder(changed, is_item)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 0.01


def test_a_position_changes_when_an_earlier_item_does(encoder):
    vectors, is_item = items(1, 6)
    changed = vectors.clone()
    changed[:, 0] = torch.randn(SIZE)
    assert ((encoder(vectors, is_item) - encoder(changed, is_item)).abs().amax(dim=2) > 1e-5).all()


def test_items_are_encoded_alike_when_padding_stands_before_them(encoder):
    vectors, is_item = items(2, 5)
    more = torch.cat([torch.zeros(2, 4, dtype=torch.bool), is_item], dim=1)
    torch.testing.assert_close(encoder(padded(vectors, 4), more)[:, 4:], encoder(vectors, is_item))


def test_order_matters_when_the_same_items_are_permuted(encoder):
    vectors, is_item = items(1, 5)
    swapped = vectors[:, [1, 0, 2, 3, 4]]
    assert (encoder.last(vectors, is_item) - encoder.last(swapped, is_item)).abs().max() > 1e-3


def test_last_is_the_last_position_when_only_that_is_computed(encoder):
    vectors = torch.randn(3, 6, SIZE)
    is_item = torch.arange(6) >= torch.tensor([[0], [2], [6]])
    torch.testing.assert_close(encoder.last(vectors, is_item), encoder(vectors, is_item)[:, -1])


def test_padding_gives_one_finite_vector_when_a_history_is_empty(encoder):
    start = torch.randn(SIZE).expand(2, 6, SIZE)
    states = encoder(start, torch.zeros(2, 6, dtype=torch.bool))
    torch.testing.assert_close(states, states[:1, :1].expand_as(states))
    assert states.isfinite().all()


def test_the_query_of_an_empty_history_learns_when_it_is_asked_to(encoder):
    states = encoder(torch.zeros(1, 3, SIZE), torch.tensor([[False, True, True]]))
    (states[0, 0] @ torch.randn(SIZE)).backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in encoder.parameters())


def test_the_forecast_holds_what_is_kept_when_a_long_history_is_trained_on(encoder):
    """The numbers that autograd saves, of activations alone, within a factor."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    batch, length = 16, 12
    weights = {weight.untyped_storage().data_ptr() for weight in encoder.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        states = encoder.train()(*items(batch, length))
    assert states.requires_grad
    measured = sum(size for place, size in kept.items() if place not in weights) / (batch * length)
    assert 0.6 < encoder.kept_numbers / measured < 2.5
