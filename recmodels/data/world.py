"""A world of short videos whose truth is known: who would click what, on which day, in which position."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

CATEGORIES = (
    "cooking",
    "football",
    "music",
    "dance",
    "travel",
    "comedy",
    "animals",
    "gaming",
    "fashion",
    "science",
    "cars",
    "crafts",
    "news",
    "fitness",
    "films",
    "gardens",
)
SIDES = 4
"""Sides of items, one of which each user turns to when tastes shift."""

_WEEKEND = (5, 6)


@dataclass(frozen=True)
class WorldSizes:
    """How large a world is and how its people behave.

    Attributes:
        users: U, number of users.
        items: N, number of items.
        creators: Number of creators; each item has one, each creator one category.
        days: Number of days.
        drift: Radians a day by which a user's taste turns; 0 keeps it.
        newcomers: Share of users who sign up, and of items that are published, during the days.
        live_share: Share of items that are livestreams.
        first_weekday: Weekday of day 0, 0 is Monday.
        shift_day: Day from which everybody likes items for another side of theirs, and other items are good: nothing
            that people did before tells of it. None for never.
        stay_days: Days after which a user leaves, while others come as evenly; None where nobody leaves.
    """

    users: int = 1000
    items: int = 800
    creators: int = 120
    days: int = 28
    drift: float = 0.02
    newcomers: float = 0.2
    live_share: float = 0.15
    first_weekday: int = 0
    shift_day: float | None = None
    stay_days: float | None = None


@dataclass(frozen=True, eq=False)
class World:
    """The truth behind a synthetic data set; D is the number of taste factors.

    Attributes:
        sizes: What the world was built from.
        user_factors: ``(U, D)`` unit vectors, tastes on day 0.
        user_turns: ``(U, D)`` unit vectors at right angles to them, towards which tastes turn.
        user_rates: ``(U,)`` sessions a day relative to the mean user.
        user_days: ``(U,)`` day of sign-up; negative before the first day.
        item_factors: ``(N, D)`` what an item is about, of length near 1.
        item_quality: ``(N,)`` added to the log-odds of a click for everybody.
        item_creators: ``(N,)`` creator of each item.
        item_categories: ``(N,)`` index into `CATEGORIES`.
        item_days: ``(N,)`` day of publication; negative before the first day.
        item_is_live: ``(N,)`` whether it is a livestream.
        item_seconds: ``(N,)`` duration.
        category_factors: ``(C, D)`` unit vectors.
        position_bias: ``(K,)`` factor on the click probability in each position of a slate.
        later_factors: ``(U, D)`` unit vectors, tastes from the day of the shift on; None without a shift.
        later_quality: ``(N,)`` the quality of items from that day on; None without a shift.
    """

    sizes: WorldSizes
    user_factors: NDArray[np.float64]
    user_turns: NDArray[np.float64]
    user_rates: NDArray[np.float64]
    user_days: NDArray[np.float64]
    item_factors: NDArray[np.float64]
    item_quality: NDArray[np.float64]
    item_creators: NDArray[np.int64]
    item_categories: NDArray[np.int64]
    item_days: NDArray[np.float64]
    item_is_live: NDArray[np.bool_]
    item_seconds: NDArray[np.float64]
    category_factors: NDArray[np.float64]
    position_bias: NDArray[np.float64]
    later_factors: NDArray[np.float64] | None = None
    later_quality: NDArray[np.float64] | None = None

    def tastes(self, users: NDArray[np.int64], day: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the taste of each user on a day, ``(..., D)`` unit vectors."""
        days = np.asarray(day, dtype=np.float64)[..., None]
        angle = days * self.sizes.drift
        tastes = np.cos(angle) * self.user_factors[users] + np.sin(angle) * self.user_turns[users]
        return (
            tastes if self.later_factors is None else np.where(self._is_later(days), self.later_factors[users], tastes)
        )

    def affinity(
        self, users: NDArray[np.int64], items: NDArray[np.int64], *, day: NDArray[np.float64] | float
    ) -> NDArray[np.float64]:
        """Return the log-odds of a click in the first position; `users`, `items` and `day` broadcast."""
        taste: NDArray[np.float64] = np.einsum("...d,...d->...", self.tastes(users, day), self.item_factors[items])
        quality = self.item_quality[items]
        if self.later_quality is not None:
            quality = np.where(self._is_later(day), self.later_quality[items], quality)
        return -1.5 + 3.0 * taste + quality

    def popularity(self, day: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each item is worth to the mean user, ``(N,)``; with a shift on each of B days, ``(B, N)``."""
        usual: NDArray[np.float64] = self.item_quality + self.item_factors @ self.user_factors.mean(axis=0)
        if self.later_factors is None or self.later_quality is None:
            return usual
        later = self.later_quality + self.item_factors @ self.later_factors.mean(axis=0)
        return np.where(self._is_later(day)[:, None], later, usual)

    def _is_later(self, day: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        assert self.sizes.shift_day is not None, "there is something later only after a shift"
        return np.asarray(day) >= self.sizes.shift_day

    def click_probability(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        *,
        day: NDArray[np.float64] | float,
        position: NDArray[np.int64] | int = 0,
    ) -> NDArray[np.float64]:
        """Return the true probability of a click; all arguments broadcast."""
        odds = self.affinity(users, items, day=day)
        probability: NDArray[np.float64] = self.position_bias[position] / (1.0 + np.exp(-odds))
        return probability

    def last_days(self) -> NDArray[np.float64]:
        """Return the day on which each user leaves, or on which the days end, ``(U,)``."""
        ends = np.full(self.sizes.users, float(self.sizes.days))
        return ends if self.sizes.stay_days is None else np.minimum(ends, self.user_days + self.sizes.stay_days)

    def activity(self, day: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the traffic of each day relative to a weekend day."""
        weekday = (np.asarray(day) + self.sizes.first_weekday) % 7
        return np.where(np.isin(weekday, _WEEKEND), 1.0, 0.8)


def build_world(sizes: WorldSizes, *, slate: int, rng: np.random.Generator, factors: int = 8) -> World:
    """Draw a world.

    Args:
        sizes: How large and how lively.
        slate: K, number of positions of a slate.
        rng: Source of every draw; the same state gives the same world.
        factors: D, number of taste factors.
    """
    categories = _unit(rng.normal(size=(len(CATEGORIES), factors)))
    creator_categories = rng.integers(len(CATEGORIES), size=sizes.creators)
    creator_factors = _unit(categories[creator_categories] + 0.25 * rng.normal(size=(sizes.creators, factors)))
    item_creators = _skewed(sizes.creators, size=sizes.items, rng=rng)
    item_factors = creator_factors[item_creators] + 0.15 * rng.normal(size=(sizes.items, factors))
    favourites = rng.integers(len(CATEGORIES), size=(2, sizes.users))
    tastes = _unit(
        categories[favourites[0]] + 0.6 * categories[favourites[1]] + 0.3 * rng.normal(size=(sizes.users, factors))
    )
    turns = rng.normal(size=(sizes.users, factors))
    is_live = rng.random(sizes.items) < sizes.live_share
    clips = np.clip(rng.lognormal(3.2, 0.7, sizes.items), 3.0, 300.0)
    seconds: NDArray[np.float64] = np.where(is_live, rng.uniform(120.0, 900.0, sizes.items), clips)
    ranks = np.arange(1, slate + 1, dtype=np.float64)
    world = World(
        sizes=sizes,
        user_factors=tastes,
        user_turns=_unit(turns - tastes * (turns * tastes).sum(axis=1, keepdims=True)),
        user_rates=rng.gamma(2.0, 0.5, size=sizes.users),
        user_days=_first_user_days(sizes, rng=rng),
        item_factors=item_factors,
        item_quality=rng.normal(0.0, 0.7, size=sizes.items),
        item_creators=item_creators,
        item_categories=creator_categories[item_creators],
        item_days=_first_days(sizes.items, sizes, rng=rng),
        item_is_live=is_live,
        item_seconds=seconds.round(3),
        category_factors=categories,
        position_bias=ranks**-0.4,
    )
    return world if sizes.shift_day is None else _with_another_side(world, rng=rng)


def _with_another_side(world: World, *, rng: np.random.Generator) -> World:
    """Give every item one of `SIDES` sides and a later quality that its category does not tell, every user a side."""
    sizes, sides = world.sizes, np.eye(SIDES)
    of_items = sides[rng.integers(SIDES, size=sizes.items)] + 0.15 * rng.normal(size=(sizes.items, SIDES))
    of_users = _unit(sides[rng.integers(SIDES, size=sizes.users)] + 0.2 * rng.normal(size=(sizes.users, SIDES)))
    return replace(
        world,
        user_factors=np.pad(world.user_factors, ((0, 0), (0, SIDES))),
        user_turns=np.pad(world.user_turns, ((0, 0), (0, SIDES))),
        item_factors=np.hstack([world.item_factors, of_items]),
        category_factors=np.pad(world.category_factors, ((0, 0), (0, SIDES))),
        later_factors=np.pad(of_users, ((0, 0), (world.user_factors.shape[1], 0))),
        later_quality=rng.permutation(world.item_quality),
    )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths


def _skewed(count: int, *, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw indices below `count` with weights that fall as 1 / rank."""
    weights = 1.0 / np.arange(1, count + 1)
    return rng.choice(count, size=size, p=weights / weights.sum())


def _first_user_days(sizes: WorldSizes, *, rng: np.random.Generator) -> NDArray[np.float64]:
    if sizes.stay_days is None:
        return _first_days(sizes.users, sizes, rng=rng)
    return rng.uniform(-sizes.stay_days, sizes.days, sizes.users)


def _first_days(count: int, sizes: WorldSizes, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw first days: newcomers within the days, the others in the 90 days before."""
    is_new = rng.random(count) < sizes.newcomers
    return np.where(is_new, rng.uniform(0, sizes.days, count), rng.uniform(-90, 0, count))
