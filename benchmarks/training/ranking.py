"""Ranking every item for every user by inner products, beside the matrix product alone."""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import Figure
from benchmarks.training.measure import Options, in_turn, ratio, timed, words
from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.retrieval.catalogue import Shelf
from recmodels.retrieval.coarse import CoarseScores
from recmodels.retrieval.exact import top_columns
from recmodels.retrieval.lists import Lists
from recmodels.retrieval.wish import Wish
from recmodels.scorers import EncoderScorer

USERS, ITEMS, DIM, TOP_K = 100_000, 100_000, 64, 50
MEASURED_USERS = 4_000
_TARGET = 1.2
_BLOCK = 256  # rows of the floor's product; larger blocks are no faster
_CHECKED = 200


@dataclass(frozen=True, eq=False)
class World:
    """What is ranked.

    Attributes:
        queries: (B, D) of users.
        items: (V, D), the two special rows included.
        lists: Makes lists as `Ranker.top_k` does once histories are encoded.
    """

    queries: NDArray[np.float32]
    items: NDArray[np.float32]
    lists: Lists


def figures(options: Options) -> list[Figure]:
    """Rank a sample of the users in turn with the product, and check some lists against all scores."""
    world = make_world(options.sized(MEASURED_USERS), options.sized(ITEMS), seed=options.seed)
    costs = in_turn(
        {"lists": lambda: timed(partial(ranked, world)), "sgemm": lambda: timed(partial(product, world))},
        rounds=options.rounds,
    )
    found = ratio(costs, "lists", "sgemm")
    agreement = exactness(world)
    note = (
        f"{len(world.queries):,} of {USERS:,} users (cost is linear in them), {len(world.items) - FIRST_ITEM:,} items, "
        f"d {DIM}; {words(costs)}; {agreement:.4f} of {_CHECKED} users' lists hold the items of a full sort"
    )
    holds = found <= _TARGET and agreement == 1
    return [Figure(f"full ranking, top {TOP_K} / sgemm floor", f"<= {_TARGET}", f"{found:.2f}", holds, note)]


def make_world(users: int, items: int, *, seed: int) -> World:
    """Return random vectors in which, as in trained ones, a few directions hold most of the length."""
    rng = np.random.default_rng(seed)
    scale = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    vectors = rng.standard_normal((items + FIRST_ITEM, DIM), dtype=np.float32) * scale
    queries = rng.standard_normal((users, DIM), dtype=np.float32) * scale
    scorer = EncoderScorer(b"", vectors, 1, None, CoarseScores(vectors))
    bundle = SimpleNamespace(scorer=scorer, vocabulary=SimpleNamespace(size=len(vectors)))
    return World(queries, vectors, Lists(cast("Bundle", bundle)))


def ranked(world: World) -> NDArray[np.int32]:
    """Return the best items of every user, (B, k)."""
    count = len(world.queries)
    nothing = np.zeros(0, np.int64)
    histories = Histories(nothing.astype(np.int32), nothing, *np.zeros((2, count), np.int64))
    penalties = np.zeros(len(world.items), np.float32)
    penalties[:FIRST_ITEM] = -np.inf
    shelf_of = np.zeros(count, np.intp)
    wish = Wish(histories, TOP_K, (Shelf(penalties),), shelf_of, nothing, nothing.astype(np.int32))
    return world.lists.search(wish, world.queries).items


def product(world: World) -> None:
    """Multiply every query with every item, and keep nothing."""
    scores = np.empty((_BLOCK, len(world.items)), dtype=np.float32)
    for start in range(0, len(world.queries), _BLOCK):
        block = world.queries[start : start + _BLOCK]
        np.matmul(block, world.items.T, out=scores[: len(block)])


def exactness(world: World) -> float:
    """Return the share of some users' lists that hold the items of all scores' best."""
    few = World(world.queries[:_CHECKED], world.items, world.lists)
    scores = few.queries @ few.items[FIRST_ITEM:].T
    expected = top_columns(scores, TOP_K) + FIRST_ITEM
    return float(np.mean(np.sort(ranked(few), axis=1) == np.sort(expected, axis=1)))
