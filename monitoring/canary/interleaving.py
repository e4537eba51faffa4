"""Which of two rankers users prefer when both fill one list by turns: quicker than a canary, and it never promotes.

Two captains draft from their own lists, a coin deciding who goes first in each round; a click is credited to the team
whose captain took the item. Under no preference a user who leans to one side leans to either with the same chance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from monitoring.canary.eprocess import log_e_value

TEAM_A, TEAM_B, NOBODY = 0, 1, -1
EMPTY = 0
"""Item index of a place without an item."""

_LOG_E_CAP = 690.0


class InterleavingConfig(BaseModel):
    """When a preference is believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Chance, for each direction, that it is ever claimed without being there, however often one looks."""


@dataclass(frozen=True, eq=False)
class Draft:
    """B interleaved lists of length K.

    Attributes:
        items: (B, K) item indices, `EMPTY` after the end of a list.
        teams: (B, K) int8: `TEAM_A`, `TEAM_B`, or `NOBODY` where there is no item.
    """

    items: NDArray[np.int64]
    teams: NDArray[np.int8]


@dataclass(frozen=True)
class Preference:
    """What users preferred: B is the challenger.

    Attributes:
        wins: Users who chose more items of B's team.
        losses: Users who chose more items of A's team.
        ties: Users who chose as many of both, or none.
        clicks_a: Chosen items of A's team.
        clicks_b: Chosen items of B's team.
        e_better: Evidence that users lean to B, at any number of looks; capped at 1e299.
        e_worse: Evidence that users lean to A.
        alpha: ``1 / alpha`` is the evidence at which a side is believed.
    """

    wins: int
    losses: int
    ties: int
    clicks_a: int
    clicks_b: int
    e_better: float
    e_worse: float
    alpha: float

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"`` or ``"undecided"``: the challenger against the champion."""
        if self.e_worse >= 1 / self.alpha:
            return "worse"
        return "better" if self.e_better >= 1 / self.alpha else "undecided"

    @property
    def words(self) -> str:
        """The preference as a sentence."""
        return (
            f"{self.verdict}: the challenger won {self.wins:,} users, lost {self.losses:,} and tied {self.ties:,} "
            f"({self.clicks_b:,} against {self.clicks_a:,} chosen items); e-value of better {_figure(self.e_better)}, "
            f"of worse {_figure(self.e_worse)}, believed from {1 / self.alpha:g}"
        )


def team_draft(a: NDArray[np.integer], b: NDArray[np.integer], *, rng: np.random.Generator) -> Draft:
    """Interleave the lists of two rankers.

    In each round both teams take their best item that is not in the list yet, in an order that a fair coin decides. A
    list ends where the paper's does: as soon as one of the two has no item left.

    Source: Radlinski, Kurup and Joachims 2008, "How does clickthrough data reflect retrieval quality?", algorithm 2.

    Args:
        a: (B, K) item indices of the champion's lists, best first, each item once; `EMPTY` where a list is short.
        b: (B, K) of the challenger's.
        rng: Tosses the coins.

    Raises:
        ValueError: The lists differ in shape.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"the lists have shapes {a.shape} and {b.shape}: give both as (users, items), of one length.")
    lists = np.stack([a, b]).astype(np.int64)  # (2, B, K)
    free = lists != EMPTY  # items that a captain may still take
    users, length = a.shape
    draft = Draft(np.full((users, length), EMPTY, np.int64), np.full((users, length), NOBODY, np.int8))
    coins = rng.integers(0, 2, size=(users, (length + 1) // 2), dtype=np.int8)  # who goes first in each round
    rows = np.arange(users)
    for place in range(length):
        is_open = free.any(axis=2).all(axis=0)  # (B,)
        team = coins[:, place // 2] ^ np.int8(place % 2)
        item = lists[team, rows, free[team, rows].argmax(axis=1)]
        draft.items[:, place] = np.where(is_open, item, EMPTY)
        draft.teams[:, place] = np.where(is_open, team, NOBODY)
        free &= (lists != draft.items[None, :, place, None]) & is_open[None, :, None]
    return draft


def credit(draft: Draft, is_chosen: NDArray[np.bool_], users: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return how many items of each team every distinct user chose, (U, 2), users in sorted order.

    Args:
        draft: B lists.
        is_chosen: (B, K) the item at this place was chosen.
        users: (B,) whose list it was; a user may have several.
    """
    _, rows = np.unique(users, return_inverse=True)
    counts = [np.bincount(rows, weights=(is_chosen & (draft.teams == team)).sum(axis=1)) for team in (TEAM_A, TEAM_B)]
    return np.stack(counts, axis=1).astype(np.int64)


def preference(credited: NDArray[np.int64], *, config: InterleavingConfig | None = None) -> Preference:
    """Judge by a sign test over users that stays valid at any number of looks.

    A user who chose more of one team's items is one toss of a coin that is fair under no preference, so wins and
    losses are read by the same e-process as a guardrail's events, once in each direction. Ties say nothing.

    Args:
        credited: (U, 2) chosen items of team A and team B, one row a user; all users so far.
        config: When a preference is believed.
    """
    lead = credited[:, TEAM_B] - credited[:, TEAM_A]
    wins, losses = int(np.count_nonzero(lead > 0)), int(np.count_nonzero(lead < 0))
    clicks_a, clicks_b = credited.sum(axis=0).tolist()
    return Preference(
        wins=wins,
        losses=losses,
        ties=len(credited) - wins - losses,
        clicks_a=clicks_a,
        clicks_b=clicks_b,
        e_better=_e_value(wins, losses),
        e_worse=_e_value(losses, wins),
        alpha=(config or InterleavingConfig()).alpha,
    )


def _e_value(events: int, others: int) -> float:
    log_e = float(log_e_value(np.asarray(float(events)), np.asarray(float(others))))
    return float(np.exp(min(log_e, _LOG_E_CAP)))


def _figure(value: float) -> str:
    return f"{value:.3g}"
