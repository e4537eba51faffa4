"""Fifty seeded corruptions of a good bundle, sent through gate, shadow and a replayed canary, beside what each costs.

The good bundle is the champion. What a corruption truly costs is the replay's click rate over all people and moments,
without any draw.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.gauntlet import ask_the_gate
from benchmarks.zoo.recording import Recording, judge_replayed, judge_unseen, make_lists
from benchmarks.zoo.variants import by_age, with_ids, with_items, with_weights
from benchmarks.zoo.world import SEED, World
from flows.replay import REPLAY_CANARY
from monitoring.canary import Action
from recmodels.bundle import load_bundle

HARM = -REPLAY_CANARY.delta
"""A click rate that falls by more is harm: the canary promises to promote nothing beyond this margin."""


@dataclass(frozen=True)
class Corruption:
    """One way in which a good bundle goes bad.

    Attributes:
        kind: ``"ids permuted"``, ``"noise on weights"`` or ``"stale items"``.
        size: Share of the ids; noise in mean weights; share of the items that are gone.
        seed: Of what is drawn.
    """

    kind: str
    size: float
    seed: int

    def make(self, world: World) -> str:
        """Write the corrupted bundle and return its digest."""
        return _MAKERS[self.kind](world, self.size, np.random.default_rng([SEED, self.seed]))


@dataclass(frozen=True)
class Fate:
    """What became of one corruption; each stage is asked whatever the one before it said.

    Attributes:
        corruption: Which.
        ndcg: Relative change of ndcg_at_10 on the test part.
        clicks: Relative change of the true click rate.
        gate: Checks that refuse; empty where it passes.
        shadow: Rule that does not let it out of the shadow stage; empty where it advances.
        canary: Action, rule and visits of the last look, in words.
        is_promoted: The canary promotes it.
    """

    corruption: Corruption
    ndcg: float
    clicks: float
    gate: str
    shadow: str
    canary: str
    is_promoted: bool

    @property
    def canary_stop(self) -> str:
        """What the canary stopped it by; empty where it promotes."""
        return "" if self.is_promoted else self.canary

    @property
    def stopped_at(self) -> str:
        """The first stage that stops it, or ``"nowhere"``."""
        stops = (("gate", self.gate), ("shadow", self.shadow), ("canary", self.canary_stop))
        return next((stage for stage, by in stops if by), "nowhere")

    @property
    def is_missed(self) -> bool:
        """Whether it does harm and reaches everybody."""
        return self.stopped_at == "nowhere" and self.clicks < HARM

    @property
    def judgement(self) -> str:
        """Whether what became of it was right."""
        if self.is_missed:
            return "**missed**"
        size = "harmful" if self.clicks < HARM else "within the margin"
        return f"{size}, {'let through' if self.stopped_at == 'nowhere' else 'stopped'}"

    @property
    def cells(self) -> list[str]:
        """The row of a table."""
        corruption, unit = self.corruption, "x mean" if "noise" in self.corruption.kind else ""
        size = f"{corruption.size:g} {unit}" if unit else f"{corruption.size:.0%}"
        changes = [f"{self.ndcg:+.1%}", f"{self.clicks:+.1%}"]
        stages = [self.gate or "passed", self.shadow or "advance", self.canary]
        return [corruption.kind, size, *changes, *stages, self.stopped_at, self.judgement]

    @property
    def document(self) -> dict[str, Any]:
        """The fate as plain values."""
        return {**asdict(self), "stopped_at": self.stopped_at, "is_missed": self.is_missed, "judged": self.judgement}


def send_on(world: World, recording: Recording, corruption: Corruption) -> Fate:
    """Make a corrupted bundle and ask every stage about it."""
    bundle = load_bundle(world.root, corruption.make(world))
    decision = ask_the_gate(world, bundle)
    drop = next((check.observed for check in decision.checks if check.name == "drop_within_tolerance"), float("nan"))
    lists = make_lists(world, bundle, recording.futures)
    before, after = recording.click_rate(recording.champion), recording.click_rate(lists)
    unseen, replayed = judge_unseen(world, recording, lists), judge_replayed(recording, lists)
    return Fate(
        corruption=corruption,
        ndcg=drop,
        clicks=after / before - 1,
        gate=", ".join(decision.refused_by),
        shadow="" if unseen.action is Action.ADVANCE else f"{unseen.rule} ({unseen.action})",
        canary=replayed.words,
        is_promoted=replayed.is_promoted,
    )


def _permuted(world: World, share: float, rng: np.random.Generator) -> str:
    size = len(world.good.vocabulary)
    chosen = rng.choice(size, size=max(round(share * size), 2), replace=False)
    order = np.arange(size)
    order[chosen] = np.roll(chosen, 1)  # a cycle: every chosen id stands for another item
    return with_ids(world, order)


def _noisy(world: World, scale: float, rng: np.random.Generator) -> str:
    def add_noise(values: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = rng.normal(0.0, scale * np.abs(values).mean(), len(values))
        return (values + noise).astype(np.float32)

    return with_weights(world, add_noise)


def _stale(world: World, share: float, _rng: np.random.Generator) -> str:
    order = by_age(world)
    return with_items(world, np.sort(order[: round(len(order) * (1 - share))]))


_MAKERS: dict[str, Callable[[World, float, np.random.Generator], str]] = {
    "ids permuted": _permuted,
    "noise on weights": _noisy,
    "stale items": _stale,
}
_SIZES = {
    "ids permuted": (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50),
    "noise on weights": (5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100, 125, 150, 200, 300, 500),
    "stale items": (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 25, 30, 40, 50),
}
CORRUPTIONS = tuple(
    Corruption(kind, size / 100, seed)
    for seed, (kind, size) in enumerate((kind, size) for kind, sizes in _SIZES.items() for size in sizes)
)
"""Fifty, mild to gross; sizes are in hundredths."""
