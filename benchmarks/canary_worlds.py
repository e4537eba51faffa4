"""Simulated users of a canary and its concurrent control, turned into the sums that the judge reads at every look."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitoring.canary import GUARDRAILS
from monitoring.canary.arms import Floats
from monitoring.canary.ratio import Moments, winsorise

CLICKS_A, CLICKS_B = 0.5, 4.5
"""A user's click rate is Beta(0.5, 4.5): 0.10 on average, most users near 0."""
RATES = {"error": 0.002, "slow": 0.01, "short": 0.005, "fallback": 0.005, "hidden": 0.01}
"""Chance that one visit meets a guardrail, in both arms unless a world says otherwise."""
EARLIER_VISITS = 5.87
"""Mean of the earlier impressions less one: the earlier rate then correlates 0.5 with a user's residual clicks."""
WATCH_CAP = 120.0
"""Seconds of one impression at which watch time is winsorised."""
RAMP = (0.02, 0.10, 0.50, 1.0, 1.0, 1.0, 1.0)
"""Share of all users that both arms hold on each day of the ramp."""


@dataclass(frozen=True)
class World:
    """How users behave, and what the challenger does to them.

    Attributes:
        effect: Relative change of the reward on the canary.
        returning: Share of visits by users seen before.
        swing: Relative amplitude of the click rate over the day, while the ramp grows.
        is_watch: The reward is log-normal watch time rather than clicks.
        is_clustered: A user's chance of meeting a guardrail is the user's own, near 0 for most and high for a few.
        has_covariate: Users have an earlier click rate.
        canary_rates: Guardrail -> its chance on the canary, where it differs.
    """

    effect: float = 0.0
    returning: float = 0.0
    swing: float = 0.0
    is_watch: bool = False
    is_clustered: bool = False
    has_covariate: bool = False
    canary_rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Looks:
    """What the judge sees at each look, (L,) everywhere.

    Attributes:
        canary: Running sums of the canary.
        control: Running sums of the control.
        events: Guardrail -> running numbers of users who met it, canary and control, (2, L).
    """

    canary: Moments
    control: Moments
    events: dict[str, Floats]

    @property
    def users(self) -> Floats:
        """Users of both arms together."""
        return self.canary.users + self.control.users


def simulate(world: World, *, visits: int, every: int, rng: np.random.Generator) -> Looks:
    """Draw one rollout of so many visits and sum it up every `every` visits."""
    user = _users(world, visits, rng)
    users = int(user.max()) + 1
    is_canary = (rng.random(users) < 0.5)[user]
    impressions = 1.0 + rng.poisson(4.0, visits)
    rate = rng.beta(CLICKS_A, CLICKS_B, users)
    scale = _swing(world, visits, rng) * np.where(is_canary, 1.0 + world.effect, 1.0)
    if world.is_watch:
        reward = _watch(user, impressions, scale, rng)
    else:
        reward = rng.binomial(impressions.astype(np.int64), np.minimum(rate[user] * scale, 1.0)).astype(float)
    covariate = _covariate(rate, rng) if world.has_covariate else np.zeros(users)
    increments = _increments(user, impressions, reward, covariate[user])
    starts = np.arange(0, visits, every)
    canary, control = (
        Moments(*np.cumsum(np.add.reduceat(increments * mask, starts, axis=1), axis=1))
        for mask in (is_canary, ~is_canary)
    )
    events = {name: _events(world, name, user, is_canary, starts, rng) for name in GUARDRAILS}
    return Looks(canary, control, events)


def _users(world: World, visits: int, rng: np.random.Generator) -> NDArray[np.int64]:
    is_new = rng.random(visits) >= world.returning
    is_new[0] = True
    seen = np.cumsum(is_new)
    return np.where(is_new, seen - 1, (rng.random(visits) * seen).astype(np.int64))


def _swing(world: World, visits: int, rng: np.random.Generator) -> Floats:
    if not world.swing:
        return np.ones(visits)
    day = rng.choice(len(RAMP), size=visits, p=np.array(RAMP) / sum(RAMP))
    times = np.sort(day + rng.random(visits))
    return np.asarray(1.0 + world.swing * np.sin(2.0 * np.pi * times))


def _watch(user: NDArray[np.int64], impressions: Floats, scale: Floats, rng: np.random.Generator) -> Floats:
    count = impressions.astype(np.int64)
    patience = rng.normal(0.0, 0.7, int(user.max()) + 1)
    level = np.repeat(np.log(8.0) + patience[user], count)
    seconds = np.exp(level + rng.normal(0.0, 1.2, level.size)) * np.repeat(scale, count)
    capped = winsorise(np.ones_like(seconds), seconds, cap=WATCH_CAP)
    return np.add.reduceat(capped, np.concatenate([[0], np.cumsum(count)[:-1]]))


def _covariate(rate: Floats, rng: np.random.Generator) -> Floats:
    earlier = 1 + rng.poisson(EARLIER_VISITS, rate.size)
    return np.asarray(rng.binomial(earlier, rate) / earlier)


def _increments(user: NDArray[np.int64], n: Floats, y: Floats, x: Floats) -> Floats:
    """Return by how much each visit raises the ten sums of `Moments`, (10, V), given the user's earlier visits."""
    before_n, before_y, is_first = _before(user, n, y)
    nn = (before_n + n) ** 2 - before_n**2
    ny = (before_n + n) * (before_y + y) - before_n * before_y
    yy = (before_y + y) ** 2 - before_y**2
    first = is_first.astype(float)
    return np.stack([first, n, y, nn, ny, yy, first * x, first * x * x, n * x, y * x])


def _before(user: NDArray[np.int64], n: Floats, y: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    order = np.argsort(user, kind="stable")
    is_start = np.diff(user[order], prepend=-1) != 0
    start = np.maximum.accumulate(np.where(is_start, np.arange(user.size), 0))
    before = []
    for column in (n, y):
        running = np.cumsum(column[order]) - column[order]
        value = np.empty_like(running)
        value[order] = running - running[start]
        before.append(value)
    is_first = np.empty(user.size, dtype=bool)
    is_first[order] = is_start
    return before[0], before[1], is_first


def _events(
    world: World,
    name: str,
    user: NDArray[np.int64],
    is_canary: NDArray[np.bool_],
    starts: NDArray[np.int64],
    rng: np.random.Generator,
) -> Floats:
    rate = np.where(is_canary, world.canary_rates.get(name, RATES[name]), RATES[name])
    if world.is_clustered:
        habit = rng.beta(2.0 * RATES[name], 2.0 * (1.0 - RATES[name]), int(user.max()) + 1)
        rate = rate / RATES[name] * habit[user]
    met = np.flatnonzero(rng.random(user.size) < rate)
    first = met[np.unique(user[met], return_index=True)[1]]  # the first time of each user who met it
    counts = np.zeros((2, user.size))
    counts[np.where(is_canary[first], 0, 1), first] = 1.0
    return np.cumsum(np.add.reduceat(counts, starts, axis=1), axis=1)
