"""What tasks share: with one expert, every network is the shared bottom."""

import pytest
import torch

from recmodels.multi_task import SHARING

STATES = torch.randn(7, 5, generator=torch.Generator().manual_seed(3))


def built(name, *, tasks=3, **settings):
    torch.manual_seed(1)
    return SHARING.part(name)(5, tasks, SHARING.config(name, {"expert_dim": 4, **settings})).eval()


def shared_like(weight, bias, tasks=3):
    shared = built("shared", tasks=tasks)
    (layer,) = shared.bottom.layers
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias)
    return shared


def test_one_expert_of_mmoe_is_the_shared_bottom():
    mmoe = built("mmoe", num_experts=1)
    shared = shared_like(mmoe.experts.weight[0], mmoe.experts.bias[0])
    torch.testing.assert_close(mmoe(STATES), shared(STATES))


def test_one_shared_expert_of_ple_is_the_shared_bottom():
    ple = built("ple", num_shared=1, num_own=0)
    (level,) = ple.levels
    shared = shared_like(level.shared.weight[0], level.shared.bias[0])
    torch.testing.assert_close(ple(STATES), shared(STATES))


def test_a_task_of_ple_is_a_shared_bottom_of_its_own_when_nothing_is_shared():
    ple = built("ple", num_shared=0, num_own=1)
    (level,) = ple.levels
    for task in range(3):
        alone = shared_like(level.own.weight[task], level.own.bias[task], tasks=1)
        torch.testing.assert_close(ple(STATES)[:, task], alone(STATES)[:, 0])


def test_mixtures_follow_their_gates_when_worked_out_expert_by_expert():
    ple = built("ple", num_shared=2, num_own=2)
    (level,) = ple.levels
    shared = torch.relu(torch.einsum("ni,mio->nmo", STATES, level.shared.weight) + level.shared.bias)
    own = torch.relu(torch.einsum("ni,mio->nmo", STATES, level.own.weight) + level.own.bias)
    for task in range(3):
        gate = torch.softmax(STATES @ level.gates.weight[task] + level.gates.bias[task], dim=1)
        seen = torch.cat([shared, own[:, 2 * task : 2 * task + 2]], dim=1)
        torch.testing.assert_close(ple(STATES)[:, task], (gate[:, :, None] * seen).sum(dim=1))


def test_own_experts_get_gradients_of_their_task_alone():
    ple = built("ple", num_levels=1)
    ple(STATES)[:, 1].sum().backward()
    (level,) = ple.levels
    moved = [level.own.weight.grad[task].abs().sum() > 0 for task in range(3)]
    assert moved == [False, True, False]


@pytest.mark.parametrize("name", SHARING.names())
def test_one_task_is_a_case_of_many(name):
    assert built(name, tasks=1)(STATES).shape == (7, 1, 4)


def test_levels_pass_on_what_they_extract():
    assert built("ple", num_levels=3)(STATES).shape == (7, 3, 4)


@pytest.mark.parametrize("settings", [{"num_shared": 0, "num_own": 0}, {"num_shared": 0, "num_levels": 2}])
def test_settings_without_experts_are_refused(settings):
    with pytest.raises(ValueError, match=r"multi-task network 'ple'.*expert"):
        SHARING.config("ple", settings)
