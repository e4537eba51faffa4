import math

import pytest
import torch
from torch import nn

from recmodels.layers.item_table import ItemTable
from recmodels.training.losses import bce, cross_entropy, gbce, sampled_softmax
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
    samples = [sampled_softmax(query, target, table, uniform_negatives(5, 22)).exp().item() for _ in range(2000)]
    assert sum(samples) / 2000 == pytest.approx(whole, rel=0.05)


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


def gradients(loss, query, table):
    return torch.autograd.grad(loss, (query, table.weight))


def test_log_q_recovers_the_direction_of_the_whole_softmax_when_popular_items_are_drawn_more():
    """Item 2 is half of all draws; without the correction its vector is pushed away for that."""
    torch.manual_seed(2)
    query, target, table, size = torch.randn(1, 8), torch.tensor([9]), ItemTable(22, 8), 40
    others = torch.arange(22) != 9
    drawn = torch.tensor([0.5] + [0.5 / 19] * 19)
    query.requires_grad_()

    def direction(loss):
        return gradients(loss, query, table)[1][others].flatten()

    def mean_direction(correction):
        ids = [torch.multinomial(drawn, size, replacement=True) for _ in range(200)]
        losses = [sampled_softmax(query, target, table, Negatives(row + 2, correction(row))) for row in ids]
        return direction(torch.stack(losses).mean())

    whole = direction(cross_entropy(query, target, table))
    corrected = mean_direction(lambda ids: (size * drawn[ids]).log())
    plain = mean_direction(lambda ids: torch.zeros(len(ids)))
    assert nn.functional.cosine_similarity(corrected, whole, dim=0) > 0.99
    assert nn.functional.cosine_similarity(plain, whole, dim=0) < 0.7


@pytest.mark.parametrize("scores_at_once", [1, 7 * 20, 10**9])
def test_cross_entropy_equals_that_of_torch_when_it_is_taken_in_chunks(case, scores_at_once):
    query, target, table = case
    query.requires_grad_()
    chunked = 3 * cross_entropy(query, target, table, scores_at_once=scores_at_once)
    whole = 3 * nn.functional.cross_entropy(query @ table.vectors()[2:].T, target - 2)
    assert chunked.item() == pytest.approx(whole.item(), rel=1e-6)
    for ours, theirs in zip(gradients(chunked, query, table), gradients(whole, query, table), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_cross_entropy_keeps_no_scores_when_it_waits_for_the_backward_pass():
    """What is kept is two gradients, P D + V D numbers, not the P N scores."""
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    query, target, table = torch.randn(300, 4, requires_grad=True), torch.randint(2, 1002, (300,)), ItemTable(1002, 4)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        cross_entropy(query, target, table)
    assert sum(kept) <= 300 * 4 + 1002 * 4


def test_bce_is_the_mean_over_the_target_and_the_sample_when_it_is_written_out(case):
    query, target, table = case
    ids = torch.tensor([2, 5, 11, 20])
    logits = query @ table.vectors().T
    terms = nn.functional.binary_cross_entropy_with_logits(
        torch.cat([logits.gather(1, target[:, None]), logits[:, ids]], dim=1),
        torch.tensor([1.0, 0, 0, 0, 0]).expand(9, -1),
        reduction="none",
    )
    terms[:, 1:][target[:, None] == ids] = 0  # a position's own target is no negative
    expected = terms.sum(dim=1).mean() / 5
    negatives = Negatives(ids, torch.full((4,), math.log(4 / 20)))
    assert bce(query, target, table, negatives).item() == pytest.approx(expected.item(), rel=1e-6)
    assert gbce(query, target, table, negatives, calibration=0.0).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (0.5, 0.75), (0.75, 0.625), (1.0, 0.5)])
def test_gbce_weighs_the_positive_by_beta_when_half_of_the_catalogue_is_sampled(calibration, beta):
    """alpha = 1/2: beta = alpha (t (1 - 1 / alpha) + 1 / alpha) = 1 - t / 2."""
    table = ItemTable(4, 1)
    table.weight.data = torch.tensor([[0.0], [0.0], [1.0], [2.0]])
    one = Negatives(torch.tensor([3]), torch.tensor([math.log(1 / 2)]))
    found = gbce(torch.ones(1, 1), torch.tensor([2]), table, one, calibration=calibration)
    # the target scores 1, the negative 2: (beta log(1 + e^-1) + log(1 + e^2)) / 2
    expected = (beta * math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_gbce_is_bce_when_every_item_is_sampled(case):
    query, target, table = case
    every = Negatives(torch.arange(2, 22), torch.zeros(20))
    torch.testing.assert_close(gbce(query, target, table, every), bce(query, target, table, every))


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
