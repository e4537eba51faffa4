"""Estimates by hand, in simulation, and on real logs of two policies."""

import math

import numpy as np
import pytest

from benchmarks.off_policy import measure
from monitoring.canary.off_policy import (
    Estimate,
    LoggedSlots,
    OffPolicyConfig,
    Predictions,
    Refusal,
    doubly_robust,
    exploration,
    ips,
    overlap_of,
    snips,
)

SMALL = LoggedSlots(
    users=np.array(["ann", "ann", "bob", "cid"]),
    rewards=np.array([1.0, 0.0, 1.0, 0.0]),
    propensities=np.array([1 / 2, 1 / 2, 1 / 4, 1 / 4]),
    challenger=np.array([1 / 2, 1 / 4, 1 / 2, 1 / 4]),
)
"""Weights 1, 1/2, 2, 1."""
ITEMS = 8


def a_log(propensities, challenger, *, rewards=None, users=None, unsupported=None):
    n = len(propensities)
    return LoggedSlots(
        users=np.arange(n) if users is None else users,
        rewards=np.ones(n) if rewards is None else rewards,
        propensities=np.asarray(propensities, dtype=float),
        challenger=np.asarray(challenger, dtype=float),
        unsupported=unsupported,
    )


def test_ips_is_the_mean_of_the_weighted_rewards():
    found = ips(SMALL)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx((1 * 1 + 2 * 1) / 4)
    assert found.logged == pytest.approx(2 / 4)


def test_the_error_sums_each_users_residuals():
    # residuals of w * r around 3/4: 1/4, -3/4 of ann, 5/4 of bob, -3/4 of cid
    squares = (-2 / 4) ** 2 + (5 / 4) ** 2 + (-3 / 4) ** 2
    found = ips(SMALL)
    assert isinstance(found, Estimate)
    assert found.standard_error == pytest.approx(math.sqrt(squares * 3 / 2) / 4)
    assert found.upper - found.value == pytest.approx(1.959963984540054 * found.standard_error)
    assert found.value - found.lower == pytest.approx(found.upper - found.value)


def test_the_error_is_the_usual_one_when_every_user_has_one_slot():
    rng = np.random.default_rng(1)
    log = a_log(np.full(200, 0.25), rng.choice([0.2, 0.3], 200), rewards=rng.random(200))
    found = ips(log)
    assert isinstance(found, Estimate)
    values = log.weights * log.rewards
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(200))


def test_snips_divides_by_the_sum_of_the_weights():
    found = snips(SMALL)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx((1 + 2) / (1 + 1 / 2 + 2 + 1))
    # w * (r - 2/3): 1/3 - 1/3 of ann, 2/3 of bob, -2/3 of cid, over the mean weight 9/8
    squares = ((2 / 3) ** 2 + (2 / 3) ** 2) / (9 / 8) ** 2
    assert found.standard_error == pytest.approx(math.sqrt(squares * 3 / 2) / 4)


def test_snips_of_equal_rewards_is_that_reward():
    found = snips(a_log([0.5, 0.25, 0.5, 0.25], [0.5, 0.5, 0.25, 0.25], rewards=np.full(4, 0.3)))
    assert isinstance(found, Estimate)
    assert (found.value, found.standard_error) == (pytest.approx(0.3), pytest.approx(0.0, abs=1e-12))


def test_doubly_robust_adds_the_weighted_error_of_the_model():
    predictions = Predictions(shown=np.full(4, 0.5), challenger=np.full(4, 0.6))
    found = doubly_robust(SMALL, predictions)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(0.6 + (1 * 0.5 - 0.5 * 0.5 + 2 * 0.5 - 1 * 0.5) / 4)


def test_doubly_robust_is_exact_when_the_model_is():
    predictions = Predictions(shown=SMALL.rewards, challenger=np.full(4, 0.4))
    found = doubly_robust(SMALL, predictions)
    assert isinstance(found, Estimate)
    assert (found.value, found.standard_error) == (pytest.approx(0.4), pytest.approx(0.0, abs=1e-12))


def test_the_effective_size_is_the_squared_sum_over_the_sum_of_squares():
    found = overlap_of(SMALL)
    assert found.effective_slots == pytest.approx(4.5**2 / (1 + 1 / 4 + 4 + 1))
    assert (found.slots, found.users, found.mean_weight) == (4, 3, pytest.approx(4.5 / 4))


def test_a_deterministic_log_is_refused_when_half_of_it_agrees():
    agrees = np.arange(1000) % 2
    log = a_log(np.ones(1000), agrees)
    assert (log.weights * log.rewards).mean() == 0.5, "half the truth, and nothing in the weights' spread shows it"
    assert overlap_of(log).effective_slots == 500
    found = ips(log)
    assert isinstance(found, Refusal)
    assert found.rule == "deterministic"
    assert "1,000 of 1,000 slots have propensity 1" in found.words


def test_exploration_keeps_what_was_drawn_at_random():
    log = a_log([1.0, 0.5, 1.0, 0.25], [1.0, 0.5, 0.0, 0.5], unsupported=np.zeros(4))
    assert exploration(log).propensities.tolist() == [0.5, 0.25]
    assert isinstance(ips(exploration(a_log([1.0, 1.0], [1.0, 0.0]))), Refusal)


def test_a_log_is_refused_when_the_mean_weight_is_more_than_three_errors_from_one():
    rng = np.random.default_rng(2)
    drawn = rng.random(4000) < 0.5
    honest = a_log(np.full(4000, 0.5), drawn)  # the challenger always shows what half the draws showed
    assert isinstance(ips(honest), Estimate)
    wrong = a_log(np.full(4000, 0.6), drawn)  # the same log with propensities that are too high
    found = ips(wrong)
    assert isinstance(found, Refusal)
    assert found.rule == "mean_weight"
    assert found.overlap is not None
    assert found.overlap.mean_weight == pytest.approx(0.5 / 0.6, abs=0.03)
    assert isinstance(ips(wrong, config=OffPolicyConfig(mean_weight_errors=20.0)), Estimate)


def test_a_log_is_refused_when_a_few_heavy_slots_decide():
    challenger = np.full(10_000, 1e-5)
    challenger[0] = 1.0
    log = a_log(np.full(10_000, 1e-4), challenger, rewards=np.zeros(10_000))
    found = snips(log)
    assert isinstance(found, Refusal)
    assert found.rule == "effective_slots"
    assert "of 10,000 slots, below 1.0%" in found.words


@pytest.mark.parametrize(("share", "is_refused"), [(0.01, False), (0.011, True)])
def test_a_log_is_refused_when_more_than_a_hundredth_of_the_choices_has_no_support(share, is_refused):
    log = a_log(np.full(100, 0.5), np.full(100, 0.5), unsupported=np.full(100, share))
    assert isinstance(ips(log), Refusal) is is_refused


def test_a_log_is_refused_when_it_is_empty_or_of_one_user():
    empty, alone = ips(a_log([], [])), ips(a_log([0.5, 0.5], [0.5, 0.5], users=np.array(["ann", "ann"])))
    assert isinstance(empty, Refusal)
    assert isinstance(alone, Refusal)
    assert (empty.rule, alone.rule) == ("no_slots", "one_user")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("propensities", 0.0, "for an item that was shown"),
        ("propensities", 1.5, "a probability from 0 to 1"),
        ("propensities", math.nan, "a probability from 0 to 1"),
        ("challenger", -0.1, "a probability from 0 to 1"),
        ("rewards", math.inf, "a finite number"),
    ],
)
def test_a_log_is_no_log_when_a_value_cannot_be(column, value, words):
    columns = {"rewards": np.ones(3), "propensities": np.full(3, 0.5), "challenger": np.full(3, 0.5)}
    columns[column][1] = value
    with pytest.raises(ValueError, match=words):
        LoggedSlots(users=np.arange(3), **columns)
    with pytest.raises(ValueError, match="one value a slot"):
        LoggedSlots(users=np.arange(4), rewards=np.ones(3), propensities=np.ones(3), challenger=np.ones(3))


def test_intervals_hold_the_truth_when_users_come_again():
    """600 worlds: two-position-free slates of 8 items, 100 users of 6 slots whose rates differ from user to user."""
    rng = np.random.default_rng(3)
    logging, challenger = rng.dirichlet(np.full(ITEMS, 3.0)), rng.dirichlet(np.full(ITEMS, 3.0))
    rates = rng.uniform(0.05, 0.6, ITEMS)
    truth = float(challenger @ rates)
    inside = dict.fromkeys(("ips", "snips", "doubly_robust", "unclustered"), 0)
    for _ in range(600):
        user = np.repeat(np.arange(100), 6)
        taste = rng.choice([0.0, 1.0, 2.0], 100)[user]  # of mean 1: it leaves the truth as it is
        item = rng.choice(ITEMS, len(user), p=logging)
        reward = (rng.random(len(user)) < taste * rates[item] / 1.25).astype(float)
        log = a_log(logging[item], challenger[item], rewards=reward, users=user)
        predictions = Predictions(rates[item], np.full(len(user), float(challenger @ rates)))
        found = {"ips": ips(log), "snips": snips(log), "doubly_robust": doubly_robust(log, predictions)}
        found["unclustered"] = snips(a_log(logging[item], challenger[item], rewards=reward))
        for name, answer in found.items():
            if isinstance(answer, Estimate):
                inside[name] += answer.lower <= truth / 1.25 <= answer.upper
    assert all(0.91 <= inside[name] / 600 <= 0.98 for name in ("ips", "snips", "doubly_robust")), inside
    assert inside["unclustered"] / 600 < 0.91, "a user's slots belong together"


def test_what_a_policy_earns_is_estimated_when_only_another_policys_log_is_known(open_bandit_wheel):
    lines = list(measure(open_bandit_wheel))
    given = [line for line in lines if line.estimate is not None]
    refused = {(line.campaign, line.policy) for line in lines if line.estimate is None}
    assert refused == {("women", "random")}, "one slot of propensity 0.000001 outweighs all others"
    assert len(given) == 15
    assert all(line.is_within_noise for line in given)
    assert sum(line.is_inside for line in given) >= 14
