"""Held-out people as visitors of a replayed canary, and the real judges' word on what they saw.

Each visit is drawn as the demo draws it, goes to an arm by the gateway's own hash, and clicks what its user really went
on to choose; the judge looks after every 500.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.world import SEED, World
from flows.replay import REPLAY_CANARY
from monitoring.canary import GUARDRAILS, Action, ArmUnits, Evidence, Verdict, judge
from monitoring.canary.shadow import ShadowEvidence, judge_shadow
from recmodels.assignment import Arm, arm_of
from recmodels.bundle import Bundle
from recmodels.data.visitors import resample
from recmodels.data.vocabulary import FIRST_ITEM, PADDING
from recmodels.evaluation.evaluator import translate
from recmodels.ranker import Ranker

VISITORS = 20_000
"""Most visits that the replayed canary sees, both arms together."""
VISITORS_A_LOOK = 500
SHADOW_REQUESTS = 1000
K = 10

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists for every test query, by the split's item indices.

    Attributes:
        items: (Q, K), 0 where a list is short.
        hits: (Q,) items of the list that the user went on to choose.
        non_finite: (Q,) a score was no number.
    """

    items: NDArray[np.int32]
    hits: NDArray[np.float64]
    non_finite: NDArray[np.bool_]

    @property
    def shown(self) -> NDArray[np.float64]:
        """Items of each list, (Q,)."""
        return np.asarray((self.items != PADDING).sum(axis=1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Recording:
    """Who comes, and what they will choose.

    Attributes:
        rows: (n,) test query of each visit.
        is_canary: (n,) which arm each visit falls into.
        chance: (Q,) how likely a visit is of each query.
        futures: Sorted numbers ``query * V + item`` of what users go on to choose.
        champion: What the champion shows.
    """

    rows: NDArray[np.int64]
    is_canary: NDArray[np.bool_]
    chance: NDArray[np.float64]
    futures: NDArray[np.int64]
    champion: Lists

    @classmethod
    def of(cls, world: World) -> "Recording":
        """Draw the visits of a world."""
        queries = world.split.test
        visitors = resample(queries, count=VISITORS, seed=SEED)
        rows = np.searchsorted(queries.targets.starts, visitors.futures.starts)
        assert (queries.targets.starts[rows] == visitors.futures.starts).all(), "queries stand in the order of targets"
        arms = [arm_of(f"zoo-{number}", salt="zoo", share=0.5) for number in range(VISITORS)]
        _, user, sizes = np.unique(queries.user_ids, return_inverse=True, return_counts=True)
        last = np.append(np.flatnonzero(user[1:] != user[:-1]), len(user) - 1)
        ends = queries.targets.ends[last[np.searchsorted(last, np.arange(len(user)))]]
        flat = replace(queries.targets, ends=ends).flat()
        futures = np.unique(flat.rows * world.split.vocabulary.size + flat.items)
        return cls(
            rows=rows,
            is_canary=np.array([arm is Arm.CANARY for arm in arms]),
            chance=1.0 / (len(sizes) * sizes[user]),
            futures=futures,
            champion=make_lists(world, world.good, futures),
        )

    def click_rate(self, lists: Lists) -> float:
        """Return the clicks an item shown, over all people and moments."""
        return float(self.chance @ lists.hits / (self.chance @ lists.shown))


@dataclass(frozen=True)
class Replayed:
    """How a replayed canary ended: the last verdict, and the visits until then."""

    verdict: Verdict
    visits: int

    @property
    def is_promoted(self) -> bool:
        """Whether the challenger became champion."""
        return self.verdict.action is Action.PROMOTE

    @property
    def words(self) -> str:
        """The end in a few words."""
        return f"{self.verdict.action} by {self.verdict.rule} at {self.visits:,} visits"


@lru_cache(maxsize=1)
def recording_of(world: World) -> Recording:
    """Return the visits of a world, drawn once."""
    return Recording.of(world)


def make_lists(world: World, bundle: Bundle, futures: NDArray[np.int64]) -> Lists:
    """Rank for every test query, and look up what its user went on to choose."""
    known = world.split.vocabulary
    queries = translate(world.split.test, source=known, target=bundle.vocabulary)
    top = Ranker(bundle).top_k(queries.histories, k=K, remove_seen=True)
    table = np.concatenate([np.array([PADDING, PADDING], np.int32), known.encode(bundle.vocabulary.ids)])
    items = table[top.items]
    shown = np.arange(len(items))[:, None] * known.size + items
    places = np.minimum(np.searchsorted(futures, shown), len(futures) - 1)
    hits = ((futures[places] == shown) & (items >= FIRST_ITEM)).sum(axis=1)
    return Lists(items, hits.astype(np.float64), top.non_finite)


def judge_unseen(world: World, recording: Recording, lists: Lists) -> Verdict:
    """Judge the shadow stage on the first visits; both models are one kind, so that latency tells them not apart."""
    rows = recording.rows[:SHADOW_REQUESTS]
    own, shown = lists.items[rows], recording.champion.items[rows]
    common = ((own[:, :, None] == shown[:, None, :]) & (own[:, :, None] != PADDING)).any(axis=2).sum(axis=1)
    lengths = (shown != PADDING).sum(axis=1)
    blocked = world.split.vocabulary.encode(list(world.blocked))
    evidence = ShadowEvidence(
        requests=len(rows),
        non_finite=int(lists.non_finite[rows].sum()),
        blocked=int(np.isin(own, blocked).sum()),
        short=int(((own != PADDING).sum(axis=1) < lengths).sum()),
        overlap_mean=float((common / np.maximum(lengths, 1)).mean()),
        distinct_items=len(np.unique(own[own != PADDING])),
        champion_distinct_items=len(np.unique(shown[shown != PADDING])),
        median_seconds=0.001,
        p99_seconds=0.002,
        champion_p99_seconds=0.002,
        first_at=_NOW,
        newest_at=_NOW,
    )
    terms = REPLAY_CANARY.shadow
    assert terms is not None, "a replay has a shadow stage"
    started_at, deadline_at = _NOW - timedelta(minutes=1), _NOW + timedelta(hours=1)
    return judge_shadow(evidence, config=terms, now=_NOW, started_at=started_at, deadline_at=deadline_at)


def judge_replayed(recording: Recording, lists: Lists) -> Replayed:
    """Judge after every batch of visits until the rollout ends; the last batch is the deadline."""
    for visits in range(VISITORS_A_LOOK, VISITORS + 1, VISITORS_A_LOOK):
        verdict = judge(_evidence(recording, lists, visits=visits), step=0, config=REPLAY_CANARY, now=_NOW)
        if verdict.action in (Action.ROLLBACK, Action.PROMOTE):
            break
    return Replayed(verdict, visits)


def _evidence(recording: Recording, lists: Lists, *, visits: int) -> Evidence:
    is_canary = recording.is_canary[:visits]
    rows = recording.rows[:visits]
    canary, control = _arm(lists, rows[is_canary]), _arm(recording.champion, rows[~is_canary])
    return Evidence(
        canary=canary,
        control=control,
        assigned_canary=canary.reward.size,
        assigned_control=control.reward.size,
        newest_at=_NOW,
        step_started_at=_NOW - timedelta(minutes=1),
        deadline_at=_NOW if visits == VISITORS else _NOW + timedelta(hours=1),
    )


def _arm(lists: Lists, rows: NDArray[np.int64]) -> ArmUnits:
    shown = lists.shown[rows]
    flags = {name: np.zeros(len(rows), np.bool_) for name in GUARDRAILS} | {"short": shown < K}
    return ArmUnits(
        shown, lists.hits[rows], flags=flags, requests=len(rows), non_finite=int(lists.non_finite[rows].sum())
    )
