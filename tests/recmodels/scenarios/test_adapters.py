"""Scenario adapters: how surfaces begin, and what of a surface's rows reaches which weights."""

import pytest
import torch

from recmodels.scenarios import SCENARIOS
from recmodels.scenarios._contract import Sizes, Surface, chosen

SIZES = Sizes(surfaces=3, fields=2, embedding_dim=4, states=6)
STATES = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
FIELDS = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(3))


def built(name, **settings):
    torch.manual_seed(1)
    return SCENARIOS.part(name)(SIZES, SCENARIOS.config(name, settings))


def at(number):
    return Surface(torch.full((5,), number), torch.zeros(5, 4))


def test_star_begins_as_one_layer_for_all_surfaces():
    star = built("star", dims=[3])
    (layer,) = star.layers
    plain = torch.relu(layer.shared(STATES))
    for surface in range(3):
        torch.testing.assert_close(star.states(STATES, FIELDS, at(surface)), plain)


def test_star_multiplies_weights_and_adds_biases_when_they_differ():
    star = built("star", dims=[3])
    (layer,) = star.layers
    torch.nn.init.normal_(layer.own)
    torch.nn.init.normal_(layer.own_bias)
    expected = torch.relu(STATES @ (layer.shared.weight.T * layer.own[2]) + layer.shared.bias + layer.own_bias[2])
    torch.testing.assert_close(star.states(STATES, FIELDS, at(2)), expected)


@pytest.mark.parametrize(("name", "find"), [("star", lambda a: a.layers[0].own), ("sar", lambda a: a.own.weight)])
def test_rows_of_a_surface_move_no_weight_of_another(name, find):
    adapter = built(name)
    adapter.states(STATES, FIELDS, at(1)).sum().backward()
    moved = find(adapter).grad.flatten(1).abs().sum(dim=1) > 0
    assert moved.tolist() == [False, True, False]


def test_gates_pass_no_gradient_to_the_fields_and_scale_by_less_than_two():
    adapter = built("pepnet")
    fields = FIELDS.clone().requires_grad_()
    states = adapter.states(STATES, fields, at(1))
    assert torch.autograd.grad(states.sum(), fields, allow_unused=True) == (None,)
    share = states / STATES
    assert ((share > 0) & (share < 2)).all()


def test_a_row_gets_the_value_of_its_surface():
    values = torch.arange(24).view(2, 3, 4)
    assert chosen(values, torch.tensor([2, 0])).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
