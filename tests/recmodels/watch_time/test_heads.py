"""Heads for watch time, against distributions that are known."""

import numpy as np
import pytest
import torch

from recmodels.watch_time import WATCH_HEADS

NAN = float("nan")


def head_of(name, watch, duration=None, **settings):
    head = WATCH_HEADS.part(name)(WATCH_HEADS.config(name, settings))
    watch = np.asarray(watch, np.float32)
    head.fit(watch, np.full(len(watch), np.nan, np.float32) if duration is None else np.asarray(duration, np.float32))
    return head


def learned(head, watch, *, steps=400):
    """The raw numbers, (1, O), that are best for all rows alike."""
    raw = torch.zeros(1, head.outputs, requires_grad=True)
    seen = torch.tensor(np.asarray(watch, np.float32))
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        head.loss(raw.expand(len(seen), -1), seen, torch.full_like(seen, NAN)).backward()
        optimizer.step()
    return raw.detach()


def test_the_odds_are_the_mean_when_half_of_the_rows_are_not_watched():
    watch = [0, 0, 0, 2, 6, 10]  # mean 3
    head = head_of("weighted_logistic", watch)
    assert head.seconds(learned(head, watch), torch.tensor([NAN])).item() == pytest.approx(3, rel=1e-3)
    assert head.seconds(torch.tensor([[99.0]]), torch.tensor([NAN])).item() == pytest.approx(20 * 3)


def test_the_bounds_give_the_mean_back_when_many_seconds_are_alike():
    watch = np.repeat([0, 1, 5, 30], [40, 30, 20, 10])  # mean (30 + 100 + 300) / 100
    head = head_of("ordinal", watch, num_bounds=10)
    assert head.seconds(learned(head, watch), torch.tensor([NAN])).item() == pytest.approx(4.3, rel=0.02)


def test_questions_are_answered_by_hand_when_there_are_two_bounds():
    head = head_of("ordinal", [1, 1, 4, 8], num_bounds=2)  # bounds 1 and 2.5; means 1, 1 (none between), 6
    yes_no = torch.tensor([[50.0, -50.0], [50.0, 50.0], [-50.0, -50.0], [50.0, 0.0]])
    np.testing.assert_allclose(head.seconds(yes_no, torch.full((4,), NAN)).numpy(), [1, 6, 1, 3.5], rtol=1e-6)


def test_quantiles_of_an_even_spread_are_found():
    watch = np.linspace(0, 20, 2001)
    head = head_of("quantile", watch, num_quantiles=5)
    raw = learned(head, watch, steps=600)
    quantiles = head._quantiles(raw)[0].numpy() * 10
    np.testing.assert_allclose(quantiles, [2, 6, 10, 14, 18], atol=0.3)
    assert head.seconds(raw, torch.tensor([NAN])).item() == pytest.approx(10, abs=0.2)


def test_quantiles_never_cross():
    head = head_of("quantile", [1, 2, 3])
    raw = torch.randn(50, 20, generator=torch.Generator().manual_seed(1)) * 5
    assert (head._quantiles(raw).diff(dim=1) >= 0).all()


def test_a_quantile_means_the_seconds_of_rows_as_long_when_durations_differ():
    short, long = np.linspace(0, 10, 101), np.linspace(0, 100, 101)
    duration = np.repeat([10.0, 100.0], 101)
    head = head_of("d2q", np.concatenate([short, long]), duration, num_groups=2)
    half = torch.zeros(3, 1)  # the quantile 1/2
    found = head.seconds(half, torch.tensor([10.0, 100.0, NAN])).numpy()
    np.testing.assert_allclose(found, [5, 50, np.median(np.concatenate([short, long]))], rtol=1e-3)


def test_ties_stand_in_their_middle():
    watch = [0.0] * 60 + list(np.linspace(1, 40, 40))
    head = head_of("d2q", watch, num_groups=1)
    raw = torch.logit(torch.tensor([[0.295]]))  # zeros fill 0 to 0.59: points 0 to 59 of 100
    at_zero = head.loss(raw, torch.zeros(1), torch.tensor([NAN])).item()
    assert at_zero == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", WATCH_HEADS.names())
def test_seconds_are_finite_and_not_negative_when_raw_numbers_are_extreme(name):
    head = head_of(name, [0.0, 3.0, 9.0, 27.0], [10.0, 20.0, NAN, 30.0])
    raw = torch.full((4, head.outputs), 80.0) * torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    seconds = head.seconds(raw, torch.tensor([0.0, 1e9, NAN, 15.0]))
    assert torch.isfinite(seconds).all()
    assert (seconds >= 0).all()
    assert torch.isfinite(head.loss(raw, torch.tensor([0.0, 1e6, 5.0, 0.0]), torch.tensor([0.0, 1e9, NAN, 15.0])))
