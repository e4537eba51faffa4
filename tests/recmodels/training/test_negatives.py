import math

import pytest
import torch

from recmodels.training.negatives import in_batch_negatives, mixed_negatives, uniform_negatives

COUNTS = torch.tensor([0, 0, 60, 20, 10, 5, 3, 1, 1])
FREQUENCY = COUNTS / COUNTS.sum()


def targets(positions=12):
    return torch.multinomial(FREQUENCY, positions, replacement=True)


@pytest.mark.parametrize("most", [3, 100])
@pytest.mark.parametrize("uniform", [0, 4])
def test_the_corrected_sum_is_that_over_the_catalogue_when_many_batches_are_averaged(most, uniform):
    """The mean of the sum of w / q over samples is the sum of w over all items: what log q is for."""
    torch.manual_seed(0)
    worth = torch.tensor([0, 0, 1.0, 2, 3, 4, 5, 6, 7])
    total = 0.0
    for _ in range(4000):
        target = targets()
        sample = (
            mixed_negatives(target, FREQUENCY, most=most, uniform=uniform)
            if uniform
            else in_batch_negatives(target, FREQUENCY, most=most)
        )
        total += float((worth[sample.ids] * (-sample.log_q).exp()).sum()) / 4000
    # choosing `most` of the distinct targets ties the number of these to who is among them, which costs some percent
    assert total == pytest.approx(28, rel=0.03 if most > 7 else 0.12)


def test_every_distinct_target_is_taken_once_when_there_is_room():
    sample = in_batch_negatives(torch.tensor([3, 2, 2, 7]), FREQUENCY, most=3)
    chances = {2: 1 - 0.4**4, 3: 1 - 0.8**4, 7: 1 - 0.99**4}
    assert sample.ids.sort().values.tolist() == [2, 3, 7]
    for item, log_q in zip(sample.ids.tolist(), sample.log_q.tolist(), strict=True):
        assert log_q == pytest.approx(math.log(chances[item]), rel=1e-4)


def test_chances_add_up_when_a_batch_and_the_catalogue_are_sampled():
    sample = mixed_negatives(torch.tensor([3, 2, 2, 7]), FREQUENCY, most=2, uniform=7)
    assert sample.ids[2:].sort().values.tolist() == [2, 3, 4, 5, 6, 7, 8]
    chance = 1 + (2 / 3) * (1 - 0.99**4)  # every item once, and item 8 in 2 of 3 cases that it is a target
    assert sample.log_q[2:][sample.ids[2:] == 8].item() == pytest.approx(math.log(chance), rel=1e-4)


def test_log_q_is_finite_when_an_item_occurs_that_was_never_counted():
    sample = in_batch_negatives(torch.tensor([2, 3]), torch.tensor([0, 0, 1.0, 0.0]), most=9)
    assert torch.isfinite(sample.log_q).all()


def test_few_of_many_items_are_distinct_and_each_is_drawn_as_often_as_any_other():
    torch.manual_seed(4)
    draws = [uniform_negatives(3, 2 + 1000) for _ in range(2000)]
    assert all(len(draw.ids.unique()) == len(draw.ids) == 3 for draw in draws)
    ids = torch.stack([draw.ids for draw in draws])
    assert (ids.min(), ids.max()) == (2, 1001)
    halves = (ids < 502).float().mean(dim=0)  # in each place of the sample: the order says nothing either
    assert ((halves - 0.5).abs() < 4 * 0.5 / 2000**0.5).all()
    assert draws[0].log_q.tolist() == pytest.approx([math.log(3 / 1000)] * 3)
