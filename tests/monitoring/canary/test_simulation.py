"""The simulated worlds feed the judge's own functions the sums that the judge itself would make of the users."""

import json
from dataclasses import astuple

import numpy as np
import pytest

from benchmarks import canary_simulation
from benchmarks.canary_figures import SCENARIOS, Rollout, Scenario, roll_out
from benchmarks.canary_worlds import World, _increments, simulate
from benchmarks.table import Figure
from monitoring.canary.ratio import moments


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_visits_add_up_to_the_moments_of_the_users_when_they_return():
    rng = _rng()
    user = np.concatenate([np.arange(50), rng.integers(0, 50, 400)])
    n, y, x = 1.0 + rng.poisson(4.0, user.size), rng.random(user.size), rng.random(50)[user]
    totals = _increments(user, n, y, x).sum(axis=1)
    first = np.unique(user, return_index=True)[1]
    expected = moments(np.bincount(user, n), np.bincount(user, y), x[first])
    assert totals == pytest.approx(np.array(astuple(expected), dtype=float))


def test_looks_grow_and_hold_every_user_once_when_nobody_returns():
    looks = simulate(World(), visits=2_000, every=200, rng=_rng())
    assert looks.users.tolist() == list(range(200, 2_001, 200))
    assert np.all(np.diff(looks.canary.nn) > 0)


@pytest.mark.parametrize(
    "world",
    [
        World(returning=0.6),
        World(swing=0.25),
        World(is_watch=True),
        World(is_clustered=True, returning=0.6),
        World(has_covariate=True),
    ],
)
def test_equal_model_is_let_live_in_every_world(world):
    scenario = Scenario(world, visits=4_000)
    rolled_back = sum(roll_out(scenario, _rng(seed)).rolled_back_at is not None for seed in range(25))
    assert rolled_back <= 2


@pytest.mark.parametrize(
    ("name", "rule"),
    [("loss_50", "primary_worse"), ("errors_100", "guardrail:error"), ("slow_5", "guardrail:slow")],
)
def test_fault_is_found_by_its_rule(name, rule):
    found = [roll_out(SCENARIOS[name], _rng(seed)) for seed in range(5)]
    assert {rollout.rule for rollout in found} == {rule}
    assert all(rollout.is_rolled_back for rollout in found)


def test_first_rule_wins_and_a_tie_is_a_rollback():
    assert Rollout(400.0, "primary_worse", 200.0).is_promoted
    assert Rollout(400.0, "primary_worse", 400.0).is_rolled_back
    assert Rollout(200.0, "primary_worse", 400.0).is_rolled_back
    assert not Rollout().is_promoted
    assert not Rollout().is_rolled_back


def test_nothing_is_promoted_without_good_data():
    figure = canary_simulation.promotions_without_data(each=3)
    assert figure.holds
    assert figure.measured == "0 of 15"


def test_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(canary_simulation, "SCENARIOS", {"errors_100": SCENARIOS["errors_100"]})
    monkeypatch.setattr(canary_simulation, "FIGURES", (_count,))
    state = tmp_path / "state.jsonl"
    first = canary_simulation.rollouts(30, state=state)
    lines = [line for line in state.read_text().splitlines() if line]
    assert len(lines) == 2
    state.write_text(lines[0] + "\n" + lines[1][:40])
    assert canary_simulation.rollouts(30, state=state) == first
    assert len(state.read_text().splitlines()) == 3
    assert canary_simulation.main(["--repetitions", "30", "--state", str(state), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [set(line) for line in printed] == [{"figure", "target", "measured", "holds", "note"}] * 2


def _count(results):
    rollouts = results["errors_100"]
    mean = np.mean([rollout.rolled_back_at for rollout in rollouts])
    return Figure("rollouts", "150", f"{len(rollouts)} {mean}", len(rollouts) == 150, "")
