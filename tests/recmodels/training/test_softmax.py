import pytest
import torch
from torch import nn

from recmodels.training.softmax import SCORES_AT_ONCE, SoftmaxOverSample, where_same


@pytest.fixture
def case():
    """Queries (30, 6), positives (30, 6), sample (11, 6), log q (11,), some of them targets."""
    torch.manual_seed(3)
    tensors = [torch.randn(*shape, requires_grad=True) for shape in ((30, 6), (30, 6), (11, 6))]
    target, ids = torch.randint(0, 12, (30,)), torch.tensor([4, 2, 9, 4, 4, 0, 7, 11, 2, 3, 1])
    return tensors, torch.randn(11), target, ids


def written_out(tensors, log_q, target, ids):
    query, positives, sample = tensors
    scores = (query @ sample.T - log_q).masked_fill(target[:, None] == ids, -torch.inf)
    positive = (query * positives).sum(dim=1, keepdim=True)
    return nn.functional.cross_entropy(torch.cat([positive, scores], dim=1), torch.zeros(len(query), dtype=torch.int64))


def test_pairs_that_are_the_same_are_all_found_and_in_order(case):
    _, _, target, ids = case
    found = where_same(target, ids)
    expected = (target[:, None] == ids).nonzero().T
    assert set(map(tuple, found.T.tolist())) == set(map(tuple, expected.T.tolist()))
    assert found.shape == expected.shape
    assert (found[0].diff() >= 0).all()


@pytest.mark.parametrize("scores_at_once", [1, 40, SCORES_AT_ONCE])
def test_loss_and_gradients_equal_autograd_when_positions_are_taken_in_parts(case, scores_at_once):
    tensors, log_q, target, ids = case
    ours = 2 * SoftmaxOverSample.apply(*tensors, log_q, where_same(target, ids), scores_at_once)
    whole = 2 * written_out(tensors, log_q, target, ids)
    assert ours.item() == pytest.approx(whole.item(), rel=1e-6)
    pairs = zip(torch.autograd.grad(ours, tensors), torch.autograd.grad(whole, tensors), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_loss_is_finite_and_right_when_scores_are_far_apart():
    query = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    positives, sample = torch.ones(2, 1), torch.tensor([[0.0], [0.5]])
    loss = SoftmaxOverSample.apply(query, positives, sample, torch.zeros(2), torch.empty(2, 0, dtype=torch.int64), 1000)
    assert loss.item() == pytest.approx((0 + 200) / 2)  # e^200 against 1 and e^100; e^-200 against 1 and e^-100
    assert torch.autograd.grad(loss, query)[0].isfinite().all()


def test_products_are_bfloat16_and_close_when_autocast_asks_for_it(case):
    tensors, log_q, target, ids = case
    exact = written_out(tensors, log_q, target, ids)
    with torch.autocast("cpu", torch.bfloat16):
        rough = SoftmaxOverSample.apply(*tensors, log_q, where_same(target, ids), SCORES_AT_ONCE)
    assert rough.dtype is torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)
    assert rough.item() != exact.item()
    for mine, theirs in zip(torch.autograd.grad(rough, tensors), torch.autograd.grad(exact, tensors), strict=True):
        assert nn.functional.cosine_similarity(mine.flatten(), theirs.flatten(), dim=0) > 0.999
