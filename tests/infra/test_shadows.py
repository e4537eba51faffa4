"""Comparisons of the shadow stage: kept once, summed by hand-worked numbers, dropped with their rollout."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from infra.database import Database
from infra.rollouts import ModelReference, Plan, RolloutStore
from infra.shadows import ShadowAnswer, ShadowStore


@pytest.fixture
def store(database: Database) -> ShadowStore:
    return ShadowStore(database)


def answer(number: int, at: datetime, **fields: Any) -> ShadowAnswer:
    given = {
        "rollout_id": "r",
        "overlap": 0.5,
        "item_ids": ("a", "b"),
        "champion_item_ids": ("a", "c"),
        "latency_seconds": 0.01,
        "champion_seconds": 0.005,
        "num_requested": 2,
    }
    return ShadowAnswer(request_id=f"q{number}", timestamp=at, **{**given, **fields})


def test_figures_are_those_of_the_answers(store: ShadowStore, later: Callable[[float], datetime]) -> None:
    nothing = {"item_ids": (), "overlap": 0.0}
    store.append(
        [
            answer(1, later(0), latency_seconds=0.01, champion_seconds=0.001),
            answer(2, later(5), item_ids=("c", "a"), overlap=1.0, latency_seconds=0.03, champion_seconds=0.003),
            answer(3, later(2), item_ids=("d",), overlap=0.0, latency_seconds=0.02, num_blocked=1, is_non_finite=True),
            answer(4, later(3), **nothing, latency_seconds=0.25, is_late=True),
            answer(5, later(4), **nothing, latency_seconds=9.0, is_error=True),
            answer(6, later(9), rollout_id="another"),
        ]
    )

    figures = store.figures("r")

    assert (figures.requests, figures.errors, figures.late, figures.non_finite) == (5, 1, 1, 1)
    assert (figures.blocked, figures.short) == (1, 1)  # of the lists that came in time, only that of q3 is short
    assert figures.overlap_mean == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert (figures.distinct_items, figures.champion_distinct_items) == (4, 2)
    assert figures.median_seconds == pytest.approx(0.025)  # of 0.01 0.02 0.03 0.25
    assert figures.p99_seconds == pytest.approx(0.03 + 0.97 * 0.22)
    assert figures.champion_p99_seconds == pytest.approx(0.005)
    assert (figures.first_at, figures.newest_at) == (later(0), later(5))


def test_figures_of_nothing_are_no_numbers_rather_than_zero(store: ShadowStore) -> None:
    figures = store.figures("r")

    assert (figures.requests, figures.first_at, figures.newest_at) == (0, None, None)
    assert all(math.isnan(value) for value in (figures.overlap_mean, figures.p99_seconds, figures.median_seconds))


def test_an_answer_is_kept_once(store: ShadowStore, now: datetime) -> None:
    assert store.append([answer(1, now), answer(2, now)]) == 2
    assert store.append([answer(2, now), answer(3, now)]) == 1
    assert store.append([]) == 0

    assert store.figures("r").requests == 3


def test_figures_are_of_the_newest_answers_when_there_are_too_many(
    store: ShadowStore, later: Callable[[float], datetime]
) -> None:
    store.append([answer(n, later(n), overlap=n / 10) for n in range(10)])

    figures = store.figures("r", limit=2)

    assert (figures.requests, figures.first_at) == (2, later(8))
    assert figures.overlap_mean == pytest.approx(0.85)


def test_answers_go_when_their_rollout_is_over(store: ShadowStore, database: Database, now: datetime) -> None:
    rollouts = RolloutStore(database)
    rollouts.set_bootstrap_champion(ModelReference("a" * 64, 1), now=now, by="a test", reason="first")
    rollouts.start(Plan("r", ModelReference("b" * 64, 2), (0.1,), is_shadow=True), now=now, by="a test")
    store.append([answer(1, now), answer(2, now, rollout_id="long ago")])

    assert store.forget_finished() == 1
    assert store.figures("r").requests == 1
    rollouts.roll_back("r", fencing=None, now=now, by="a test", reason="enough")
    assert store.forget_finished() == 1
