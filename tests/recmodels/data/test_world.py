from dataclasses import replace

import numpy as np
import pytest

from recmodels.data.world import World, WorldSizes, build_world

SIZES = WorldSizes(users=200, items=150, creators=30, days=14, drift=0.1, first_weekday=0)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SIZES, slate=5, rng=np.random.default_rng(0))


def test_tastes_are_unit_vectors_that_turn_by_the_drift_each_day(world: World) -> None:
    users = np.arange(SIZES.users)
    start, later = world.tastes(users, 0.0), world.tastes(users, 3.0)
    assert np.allclose(np.linalg.norm(later, axis=1), 1.0)
    assert np.allclose((start * later).sum(axis=1), np.cos(0.3))


def test_tastes_stay_when_there_is_no_drift() -> None:
    still = build_world(WorldSizes(users=10, items=10, drift=0.0), slate=3, rng=np.random.default_rng(0))
    users = np.arange(10)
    assert np.allclose(still.tastes(users, 0.0), still.tastes(users, 100.0))


def test_click_probabilities_follow_the_formula(world: World) -> None:
    user, item = np.array([3]), np.array([7])
    odds = -1.5 + 3.0 * float(world.user_factors[3] @ world.item_factors[7]) + float(world.item_quality[7])
    expected = 1.0 / (1.0 + np.exp(-odds))
    assert world.click_probability(user, item, day=0.0).item() == pytest.approx(expected)
    assert world.click_probability(user, item, day=0.0, position=3).item() == pytest.approx(expected * 4**-0.4)


def test_arguments_broadcast(world: World) -> None:
    found = world.click_probability(np.arange(4)[:, None], np.arange(6), day=np.zeros((4, 1)), position=1)
    assert found.shape == (4, 6)
    assert ((found > 0) & (found < 1)).all()


def test_weekends_have_more_traffic(world: World) -> None:
    assert world.activity(np.arange(7)).tolist() == [0.8, 0.8, 0.8, 0.8, 0.8, 1.0, 1.0]


def test_newcomers_appear_during_the_days(world: World) -> None:
    for days in (world.user_days, world.item_days):
        assert 0.1 < (days >= 0).mean() < 0.3
        assert days.max() < SIZES.days


def test_the_same_seed_builds_the_same_world(world: World) -> None:
    again = build_world(SIZES, slate=5, rng=np.random.default_rng(0))
    other = build_world(SIZES, slate=5, rng=np.random.default_rng(1))
    assert np.array_equal(again.item_factors, world.item_factors)
    assert not np.array_equal(other.item_factors, world.item_factors)


def test_everything_that_people_like_is_another_from_the_day_of_the_shift_on() -> None:
    sizes = replace(SIZES, drift=0.0, shift_day=7.0)
    shifted = build_world(sizes, slate=5, rng=np.random.default_rng(0))
    still = build_world(replace(sizes, shift_day=None), slate=5, rng=np.random.default_rng(0))
    users, items = np.arange(SIZES.users)[:, None], np.arange(SIZES.items)
    before = shifted.affinity(users, items, day=6.999)
    assert np.allclose(before, still.affinity(users, items, day=0.0))
    after = shifted.affinity(users, items, day=7.0)
    assert np.array_equal(after, shifted.affinity(users, items, day=13.0))
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.05
    assert sorted(shifted.later_quality) == sorted(shifted.item_quality)
    days = np.array([0.0, 7.0])
    assert np.allclose(shifted.popularity(days)[0], still.popularity(days))
    assert not np.allclose(shifted.popularity(days)[1], still.popularity(days))


def test_as_many_people_are_there_every_day_when_users_come_and_go() -> None:
    sizes = WorldSizes(users=20_000, items=10, days=30, stay_days=5.0)
    world = build_world(sizes, slate=3, rng=np.random.default_rng(0))
    here = [int(((world.user_days <= day) & (day < world.last_days())).sum()) for day in (0, 10, 20, 29)]
    expected = 20_000 * 5 / 35
    assert all(abs(count - expected) < 4 * np.sqrt(expected) for count in here)
    assert (world.last_days() - world.user_days <= 5.0 + 1e-9).all()
