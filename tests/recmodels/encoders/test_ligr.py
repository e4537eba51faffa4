import pytest
import torch
from torch import nn

from recmodels.encoders.ligr import GatedBlock, SwiGlu
from recmodels.layers.attention import causal_mask


@pytest.fixture
def block():
    torch.manual_seed(0)
    return GatedBlock(8, num_heads=2, dropout=0.0)


def run(block, states):
    return block(states, causal_mask(torch.ones(states.shape[:2], dtype=torch.bool)), last=states.shape[1])


def fix(gate, bias):
    nn.init.zeros_(gate.weight)
    nn.init.constant_(gate.bias, bias)


def test_a_block_passes_on_what_came_in_when_its_gates_are_closed(block):
    fix(block.attention_gate, -200.0)
    fix(block.network_gate, -200.0)
    states = torch.randn(2, 5, 8)
    torch.testing.assert_close(run(block, states), states)


def test_a_block_adds_half_of_both_parts_when_its_gates_know_nothing(block):
    fix(block.attention_gate, 0.0)
    fix(block.network_gate, 0.0)
    states = torch.randn(1, 1, 8)  # one position sees itself alone, so that attention is its own value
    value = block.key_value(block.attention_norm(states)).chunk(2, dim=-1)[1]
    between = states + block.output(value) / 2
    torch.testing.assert_close(run(block, states), between + block.network(block.network_norm(between)) / 2)


def test_swiglu_is_the_gated_product_when_it_is_worked_out_by_hand():
    network = SwiGlu(1, hidden_dim=1)
    network.gate_value.weight.data = torch.tensor([[2.0], [3.0]])
    network.output.weight.data = torch.tensor([[0.5]])
    # at 1: silu(2) * 3 / 2 with silu(2) = 2 / (1 + e^-2) = 1.7615942
    assert network(torch.ones(1)).item() == pytest.approx(1.7615942 * 1.5, rel=1e-6)
