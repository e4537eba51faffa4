"""Attention of a candidate over a history, against DIN's activation unit written out."""

import torch

from recmodels.layers.target_attention import TargetAttention


def layer():
    torch.manual_seed(4)
    made = TargetAttention(3, hidden_dim=5, max_length=4)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def test_weights_are_a_softmax_of_a_network_of_both_their_product_and_the_age():
    attention = layer()
    target, history = torch.randn(1, 3), torch.randn(1, 2, 3)
    joined = torch.cat([target[0].expand(2, 3), history[0], target * history[0]], dim=1)
    weight = torch.cat([attention.of_target.weight, attention.of_item.weight, attention.of_product.weight], dim=1)
    hidden = torch.relu(joined @ weight.T + attention.of_target.bias)
    scores = hidden @ attention.weigh.weight[0] + torch.stack([attention.ages[1], attention.ages[0]])
    weights = torch.cat([attention.nothing_score, scores]).softmax(dim=0)
    expected = weights[0] * attention.nothing + weights[1:] @ history[0]
    torch.testing.assert_close(attention(target, history, torch.ones(1, 2, dtype=torch.bool))[0], expected)


def test_an_empty_history_gives_the_learned_vector():
    attention = layer()
    seen = attention(torch.randn(2, 3), torch.full((2, 4, 3), 1e3), torch.zeros(2, 4, dtype=torch.bool))
    torch.testing.assert_close(seen, attention.nothing.expand(2, 3))


def test_candidates_share_a_history_as_if_each_had_its_own():
    attention = layer()
    target, history = torch.randn(5, 3), torch.randn(2, 4, 3)
    is_item = torch.tensor([[True] * 4, [False, False, True, True]])
    request = torch.tensor([1, 0, 1, 1, 0])
    own = attention(target, history[request], is_item[request])
    torch.testing.assert_close(attention(target, history, is_item, request), own)
