import pytest
import torch
from torch import nn

from recmodels.encoders.gru import GruEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = GruEncoder(4, hidden_dim=6, num_layers=1, dropout=0.5).eval()
    nn.init.normal_(encoder.start)
    return encoder


def test_each_item_updates_the_state_when_the_recurrence_is_written_out(encoder):
    """Source: Cho et al. 2014, equations 5 to 8, with the reset gate after the product, as torch has it."""
    vectors, gru = torch.randn(1, 5, 4), encoder.layers
    state = encoder.start[0]  # (1, 6)
    for place in range(5):
        of_item = (2 * vectors[:, place]) @ gru.weight_ih_l0.T + gru.bias_ih_l0
        of_state = state @ gru.weight_hh_l0.T + gru.bias_hh_l0
        reset = (of_item[:, :6] + of_state[:, :6]).sigmoid()
        keep = (of_item[:, 6:12] + of_state[:, 6:12]).sigmoid()
        proposed = (of_item[:, 12:] + reset * of_state[:, 12:]).tanh()
        state = keep * state + (1 - keep) * proposed
        expected = encoder.output(state)
        encoded = encoder(vectors, torch.ones(1, 5, dtype=torch.bool))[:, place]
        torch.testing.assert_close(encoded, expected)


def test_an_empty_history_is_the_learned_beginning_when_it_is_encoded(encoder):
    encoded = encoder.last(torch.randn(3, 2, 4), torch.zeros(3, 2, dtype=torch.bool))
    torch.testing.assert_close(encoded, encoder.output(encoder.start[0]).expand(3, -1))
