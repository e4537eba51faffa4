"""Exploration: some places go to cold items, drawn with a known probability that is logged.

A place of exploration is filled with a cold item with the probability `rate`, else with the item that stands there; the
item that it replaces is not shown. Which cold item it is, is drawn

- by `epsilon`: evenly among all cold candidates;
- by `thompson`: the one with the largest draw from its posterior, ``Beta(w m, w (1 - m))`` with the mean m that the
  model gives it, by the logistic of its standardised score, and the weight w of its training interactions and a prior.

So that each item's probability at its place can be told exactly, the places share nothing: by `epsilon` they are filled
from one random order of the cold candidates, which gives each of them the same chance at each place; by `thompson` the
candidates are dealt out over the places beforehand. The probability of winning a Beta tournament is an integral over
one dimension and is worked out on a grid, where something was drawn.

Source: Russo et al. 2018, "A tutorial on Thompson sampling", algorithm 3.2 (Beta-Bernoulli).
"""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recmodels.reranking.contract import StageConfig
from recmodels.reranking.pool import Draft, Pool

_GRID = 256
_REACH = 5.5
_EDGE = 0.05  # of a mean, so that no posterior is without width


class Stage:
    """Draws cold items into places of exploration."""

    class Config(StageConfig):
        """Which items are cold, where they may stand, and how they are drawn."""

        method: Literal["epsilon", "thompson"] = "epsilon"
        rate: float = Field(0.1, ge=0, le=1)
        """Probability that a place of exploration shows a cold item; 0 explores nothing."""
        places: tuple[Annotated[int, Field(ge=0)], ...] = Field((4, 9), min_length=1)
        """Places of exploration, from 0; those behind the end of a list are left out."""
        cold_below: int = Field(20, ge=1, le=200)
        """Items with fewer training interactions are cold; newcomers have none."""
        candidates: int = Field(20, ge=1, le=500)
        """Cold items that are drawn from: those that the model scores highest for this user."""
        prior_weight: float = Field(2.0, ge=1)
        """`thompson`: how many interactions the model's own estimate is worth."""

    def __init__(self, config: "Stage.Config") -> None:
        self._config = config
        self._places = sorted(set(config.places))

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return the first k with what was drawn, and the probability of every item at its place."""
        rate, order = self._config.rate, draft.order[:k].copy()
        propensities = np.ones(len(order))
        places = [place for place in self._places if place < len(order)]
        cold = self._cold(pool, order)
        if not places or not len(cold) or rate == 0:
            return Draft(order, draft.values, propensities)
        rng = np.random.Generator(np.random.SFC64(pool.seed))
        is_drawn = rng.random(len(places)) < rate
        propensities[places[: len(cold)]] = 1 - rate
        if is_drawn.any():
            if self._config.method == "epsilon":
                drawn, chances = _evenly(cold, len(places), rng)
            else:
                drawn, chances = self._by_posterior(pool, cold, len(places), rng)
            for number in np.flatnonzero(is_drawn[: len(drawn)]).tolist():
                order[places[number]] = drawn[number]
                propensities[places[number]] = rate * chances(number)
        return Draft(order, draft.values, propensities)

    def _cold(self, pool: Pool, shown: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the cold candidates that are not in the list, the best by score."""
        is_cold = pool.facts.counts[pool.columns] < self._config.cold_below
        is_cold[shown] = False
        cold = np.flatnonzero(is_cold)
        return cold[np.argsort(-pool.scores[cold], kind="stable")[: self._config.candidates]]

    def _by_posterior(
        self, pool: Pool, cold: NDArray[np.intp], places: int, rng: np.random.Generator
    ) -> tuple[list[int], Callable[[int], float]]:
        """Deal the cold items out over the places, and let those of a place draw against each other."""
        scores = pool.scores.astype(np.float64)
        known = scores[: pool.num_retrieved]
        means = 1 / (1 + np.exp(-(scores[cold] - known.mean()) / (float(known.std()) or 1.0)))
        means = np.clip(means, _EDGE, 1 - _EDGE)
        weights = pool.facts.counts[pool.columns[cold]] + self._config.prior_weight
        a, b = weights * means, weights * (1 - means)
        draws = rng.beta(a, b)
        hands = [np.arange(place, len(cold), places) for place in range(min(places, len(cold)))]
        winners = [int(draws[hand].argmax()) for hand in hands]
        drawn = [int(cold[hand[winner]]) for hand, winner in zip(hands, winners, strict=True)]
        return drawn, lambda place: chance_to_win(a[hands[place]], b[hands[place]], winner=winners[place])


def _evenly(cold: NDArray[np.intp], places: int, rng: np.random.Generator) -> tuple[list[int], Callable[[int], float]]:
    return rng.permutation(cold)[:places].tolist(), lambda _: 1 / len(cold)


def chance_to_win(a: NDArray[np.float64], b: NDArray[np.float64], *, winner: int) -> float:
    """Return the probability that one of n independent Beta variables is the largest.

    With x the logistic of t, a Beta density times dx / dt is ``x^a (1 - x)^b``, without a pole at its ends; t runs over
    a grid that is dense in the middle and wide outside.

    Args:
        a: (n,) first parameters, at least 0.05.
        b: (n,) second parameters, at least 0.05.
        winner: Which of them.
    """
    densities = np.exp(a[:, None] * _LOG_X + b[:, None] * _LOG_REST) * _WIDTHS  # (n, grid)
    densities /= densities.sum(axis=1, keepdims=True)
    below = np.cumsum(densities, axis=1) - densities / 2
    below[winner] = densities[winner]
    return float(np.prod(below, axis=0).sum())


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    steps = np.linspace(-_REACH, _REACH, _GRID)
    places = 2 * np.sinh(steps)
    return -np.logaddexp(0, -places), -np.logaddexp(0, places), np.cosh(steps)


_LOG_X, _LOG_REST, _WIDTHS = _grid()
