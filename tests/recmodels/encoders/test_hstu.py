import pytest
import torch
from torch.nn.functional import layer_norm, silu

from recmodels.encoders.hstu import HstuEncoder
from recmodels.layers.relative import time_buckets

DAY = 86_400_000_000
NOW = 1_700_000_000_000_000


def an_encoder(*, uses_time=True, num_layers=2):
    torch.manual_seed(0)
    encoder = HstuEncoder(8, num_layers=num_layers, num_heads=2, max_length=9, uses_time=uses_time, dropout=0.0).eval()
    for block in encoder.blocks:  # biases that are worth seeing
        for table in block.bias.parameters():
            torch.nn.init.normal_(table)
    return encoder


def a_batch(batch=3, length=9):
    is_item = torch.arange(length) >= torch.arange(batch)[:, None]
    times = NOW + torch.cumsum(torch.randint(0, 3 * DAY, (batch, length)), dim=1)
    return torch.randn(batch, length, 8), is_item, times


def test_a_block_is_the_papers_when_it_is_worked_out_position_by_position():
    """Zhai et al. 2024, equations 1 to 3, one number of attention at a time."""
    encoder = an_encoder(num_layers=1)
    block = encoder.blocks[0]
    vectors, _, times = a_batch(1, 5)
    states = vectors[0] * 8**0.5
    normed = layer_norm(states, (8,))
    gate, query = silu(block.gate_query(normed)).chunk(2, dim=-1)
    key, value = silu(block.key_value(normed)).chunk(2, dim=-1)
    buckets = time_buckets(times, rows=slice(None))[0]
    for place in range(5):
        seen = torch.zeros(8)
        for head in (slice(0, 4), slice(4, 8)):
            for earlier in range(place + 1):
                bias = block.bias.positions[place - earlier] + block.bias.times[buckets[place, earlier]]
                weight = silu(query[place, head] @ key[earlier, head] + bias) / (place + 1)
                seen[head] += weight * value[earlier, head]
        expected = states[place] + block.output(gate[place] * layer_norm(seen, (8,)))
        found = encoder(vectors, torch.ones(1, 5, dtype=torch.bool), times)[0, place]
        torch.testing.assert_close(found, layer_norm(expected, (8,)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("moved", [1, -DAY, 40 * 365 * DAY, -NOW])
def test_nothing_changes_when_all_times_move_alike(moved):
    encoder, (vectors, is_item, times) = an_encoder(), a_batch()
    before, after = encoder(vectors, is_item, times), encoder(vectors, is_item, times + moved)
    assert torch.equal(before, after)


def test_times_matter_when_gaps_differ():
    encoder, (vectors, is_item, times) = an_encoder(), a_batch()
    stretched = NOW + 50 * (times - NOW)
    assert (encoder(vectors, is_item, times) - encoder(vectors, is_item, stretched)).abs().max() > 0.01


def test_the_times_of_padding_do_not_matter():
    encoder, (vectors, is_item, times) = an_encoder(), a_batch()
    other = torch.where(is_item, times, 0)
    torch.testing.assert_close(encoder(vectors, is_item, times), encoder(vectors, is_item, other), rtol=0, atol=0)


def test_a_position_does_not_change_when_later_times_do():
    encoder, (vectors, is_item, times) = an_encoder(), a_batch()
    later = times.clone()
    later[:, 5:] += 900 * DAY
    before, after = encoder(vectors, is_item, times), encoder(vectors, is_item, later)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 0.01


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_last_position_is_the_same_when_it_is_computed_alone(num_layers):
    encoder, batch = an_encoder(num_layers=num_layers), a_batch()
    torch.testing.assert_close(encoder.last(*batch), encoder(*batch)[:, -1])


def test_times_are_asked_for_when_they_are_used_alone():
    vectors, is_item, _ = a_batch()
    with pytest.raises(AssertionError, match="needs the times"):
        an_encoder()(vectors, is_item)
    assert an_encoder(uses_time=False)(vectors, is_item).isfinite().all()
