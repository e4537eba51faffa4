import copy

import pytest
import torch
from torch import nn

from recmodels.layers.item_table import ItemTable
from recmodels.trainer_config import TrainerConfig
from recmodels.training.averaging import averaged
from recmodels.training.optimizer import LARGE_TABLE, Stepper, clip, share_of_rate


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.items = ItemTable(20, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, ids):
        return self.head(self.items.vectors(ids)).square().sum()


def config(**changes):
    return TrainerConfig(learning_rate=0.1, **changes)


def stepper(model, **changes):
    return Stepper(model, config(**changes), steps=10, names_few_items=True)


def stepped(model, batches, **changes):
    steps = stepper(model, **changes)
    norms = []
    for number, ids in enumerate(batches, start=1):
        steps.zero_grad()
        model(torch.tensor(ids)).backward()
        norms.append(steps.step(number))
    return norms


def test_rows_take_the_steps_of_adamw_when_every_step_names_them():
    """Named at each step, a row's lazy moments are those of AdamW; the others stay as they were."""
    by_rows, all_rows = Model(), Model()
    before = by_rows.items.weight.detach().clone()
    batches = [[3, 3, 7], [7, 3], [3, 7, 7]]
    norms = stepped(by_rows, batches, item_steps="rows"), stepped(all_rows, batches, item_steps="all")
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    torch.testing.assert_close(by_rows.items.weight, all_rows.items.weight)
    torch.testing.assert_close(by_rows.head.weight, all_rows.head.weight)
    others = [row for row in range(20) if row not in (3, 7)]
    assert torch.equal(by_rows.items.weight[others], before[others])
    assert not torch.equal(by_rows.items.weight[3], before[3])


def test_rows_are_moved_alone_when_the_table_is_large_and_the_loss_names_few():
    def has_rows(size, *, names_few_items, **changes):
        model = nn.ModuleList([ItemTable(size, 1), nn.Linear(1, 1)])
        return "rows" in Stepper(model, config(**changes), steps=1, names_few_items=names_few_items).optimizers

    assert has_rows(LARGE_TABLE, names_few_items=True)
    assert not has_rows(LARGE_TABLE, names_few_items=False)
    assert not has_rows(LARGE_TABLE - 1, names_few_items=True)
    assert not has_rows(LARGE_TABLE, names_few_items=True, item_steps="all")


@pytest.mark.parametrize("most", [0.5, 1e6])
def test_clipping_equals_that_of_torch_when_some_gradients_are_sparse(most):
    sparse, dense = Model(), Model()
    sparse.items.has_sparse_gradient = True
    for model in (sparse, dense):
        model(torch.tensor([1, 1, 2])).backward()
    expected = nn.utils.clip_grad_norm_(dense.parameters(), most).item()
    assert clip(list(sparse.parameters()), most=most) == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(sparse.items.weight.grad.to_dense(), dense.items.weight.grad, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(sparse.head.weight.grad, dense.head.weight.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.8536, 0.5, 0.1464]),
    ],
)
def test_the_learning_rate_grows_and_falls_as_the_schedule_says(schedule, shares):
    chosen = config(schedule=schedule, warmup_steps=2)
    assert [share_of_rate(chosen, n, steps=6) for n in range(1, 7)] == pytest.approx(shares, abs=1e-4)


def test_the_rate_of_a_step_is_what_moves_the_weights():
    whole, half = Model(), Model()
    before = whole.head.bias.detach().clone()
    stepped(whole, [[1]], warmup_steps=0)
    stepped(half, [[1]], warmup_steps=2)
    torch.testing.assert_close(2 * (half.head.bias - before), whole.head.bias - before)


def test_the_mean_moves_less_and_less_when_weights_are_averaged():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    mean = averaged(model, 0.3)
    expected, value = None, 0.0
    for number, current in enumerate([1.0, 2.0, 3.0, 4.0]):
        model.weight.data.fill_(current)
        mean.update_parameters(model)
        kept = min(0.3, (1 + number) / (10 + number))
        value = current if number == 0 else kept * value + (1 - kept) * current
        expected = value
    assert mean.module.weight.item() == pytest.approx(expected)
    assert copy.deepcopy(model).weight.item() == 4.0
