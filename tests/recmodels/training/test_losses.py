import math

import pytest
import torch

from recmodels.layers.item_table import ItemTable
from recmodels.training.losses import cross_entropy, sampled_softmax
from recmodels.training.negatives import Negatives, uniform_negatives


@pytest.fixture
def case():
    """(query (P, D), target (P,), table of 22 entries)"""
    torch.manual_seed(1)
    return torch.randn(9, 8), torch.randint(2, 22, (9,)), ItemTable(22, 8)


def test_cross_entropy_is_the_negative_log_of_the_softmax_when_written_out(case):
    query, target, table = case
    logits = (query @ table.vectors().T)[:, 2:].double()
    expected = -(logits.exp()[torch.arange(9), target - 2] / logits.exp().sum(dim=1)).log().mean()
    assert cross_entropy(query, target, table).item() == pytest.approx(expected.item(), rel=1e-5)


def test_sampled_softmax_equals_cross_entropy_when_every_item_is_a_negative_once(case):
    query, target, table = case
    every = Negatives(torch.arange(2, 22), torch.zeros(20))
    sampled, whole = sampled_softmax(query, target, table, every), cross_entropy(query, target, table)
    assert sampled.item() == pytest.approx(whole.item(), rel=1e-6)
    (sampled_gradient,) = torch.autograd.grad(sampled, table.weight)
    (whole_gradient,) = torch.autograd.grad(whole, table.weight)
    torch.testing.assert_close(sampled_gradient, whole_gradient)


def test_sampled_exponentials_average_to_the_whole_sum_when_many_samples_are_drawn(case):
    """exp(loss) is one position's sum of exponentials over its target's; with log q it is unbiased."""
    query, target, table = case
    query, target = query[:1], target[:1]
    whole = cross_entropy(query, target, table).exp().item()
    samples = [sampled_softmax(query, target, table, uniform_negatives(5, 22)).exp().item() for _ in range(4000)]
    assert sum(samples) / 4000 == pytest.approx(whole, rel=0.05)


def test_sampled_softmax_counts_what_log_q_says_when_an_item_is_drawn_twice():
    table = ItemTable(4, 1)
    table.weight.data = torch.tensor([[0.0], [0.0], [1.0], [2.0]])
    query, target = torch.ones(1, 1), torch.tensor([2])
    twice = Negatives(torch.tensor([3, 3]), torch.full((2,), math.log(2)))
    # e^1 / (e^1 + 2 * e^2 / 2)
    assert sampled_softmax(query, target, table, twice).item() == pytest.approx(math.log(1 + math.e), rel=1e-6)


def test_loss_is_zero_and_has_a_gradient_when_every_negative_is_the_target():
    table = ItemTable(4, 2)
    negatives = Negatives(torch.tensor([3, 3]), torch.zeros(2))
    loss = sampled_softmax(torch.ones(1, 2), torch.tensor([3]), table, negatives)
    (gradient,) = torch.autograd.grad(loss, table.weight)
    assert loss.item() == 0
    assert not gradient.any()


def test_uniform_negatives_are_distinct_items_with_their_expected_count_when_drawn():
    torch.manual_seed(0)
    draws = [uniform_negatives(4, 12) for _ in range(500)]
    assert all(len(set(draw.ids.tolist())) == 4 for draw in draws)
    counts = torch.bincount(torch.cat([draw.ids for draw in draws]), minlength=12)
    assert counts[:2].tolist() == [0, 0]
    assert counts[2:].min() > 150  # 200 expected, standard deviation 11
    assert draws[0].log_q.tolist() == [pytest.approx(math.log(4 / 10))] * 4


def test_uniform_negatives_are_every_item_once_when_more_are_asked_for():
    negatives = uniform_negatives(99, 12)
    assert sorted(negatives.ids.tolist()) == list(range(2, 12))
    assert not negatives.log_q.any()
