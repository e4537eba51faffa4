"""Fake accounts that push an item, with and without the defences: `python -m benchmarks.shilling FOLDER`.

KuaiRand's 14 days (of its own clock, UTC+8), clicks as label, items with 10 clicks or more in the training days. On day
8 fake accounts, 1 % of all, act 50 times each on one item; models are trained on days 1 to 10 and asked for the lists
of the people of days 12 to 14. Exposure is the share of these lists, of 10, that hold the target. "before" is without
the attack; a ratio is taken of exposure after over before, or over an even share (10 / items) where before is below it,
since no exposure at all has no double. Three states: no defence (every event counts), caps (the recipe's defaults), and
caps with the accounts that the detector finds on the day itself kept back. Targets are items at the median, the upper
quartile and the 90th percentile of clicks.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.table import Figure, report
from monitoring.drift.shilling import DAY, Suspects, find_suspects, without_accounts
from recmodels.bundle import load_bundle, write_bundle
from recmodels.data import schema
from recmodels.data.interactions import window
from recmodels.data.schema import Tables
from recmodels.data.shilling import KINDS, Attack, ends_at, inject
from recmodels.data.sources import SOURCES
from recmodels.data.splits import Split, split_interactions
from recmodels.ranker import Ranker
from recmodels.recipe import DataConfig, ModelChoice, Recipe, SplitConfig
from recmodels.training.trainer import train

MODELS = ("popularity", "item_knn", "ease")
STATES = ("no defence", "caps", "caps and detector")
LIMIT = 2.0
_FIRST = datetime(2022, 4, 24, tzinfo=UTC)  # day 0, of which there are only minutes
_CLOCK = timedelta(hours=8)
_ATTACK_DAY, _TRAIN_DAYS, _TEST_FROM, _DAYS = 8, 10, 12, 14
_QUANTILES = (0.5, 0.75, 0.9)
_LEAST_CLICKS = 10
_UNCAPPED = 1_000_000
_USERS = 3000


@dataclass(frozen=True)
class Case:
    """One attack on one target.

    Attributes:
        attack: What the accounts do.
        seed: Of what they draw.
    """

    attack: Attack
    seed: int


def main(arguments: list[str] | None = None) -> int:
    """Run, print the table; 0 when every target holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what the source `kuairand` reads")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="plug-ins to train")
    parser.add_argument("--attacks", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--target-events", type=int, default=50, help="events of each account on the target")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    began = time.process_time()
    tables = on_its_clock(SOURCES.module("kuairand").read(options.folder))
    targets = targets_of(split_of(tables.interactions, tables.items, _recipe("popularity", STATES[1])))
    cases = [
        Case(Attack(kind, target, day_start(_ATTACK_DAY), target_events=options.target_events), seed)
        for kind in options.attacks
        for target in targets
        for seed in options.seeds
    ]
    figures = [*exposure_figures(tables, cases, options.models), *detection_figures(tables, cases)]
    seconds = f"{time.process_time() - began:.0f} s"
    figures.append(Figure("CPU time of this run", "300 s", seconds, None))
    return report(figures, as_json=options.json)


def exposure_figures(tables: Tables, cases: list[Case], models: list[str]) -> Iterator[Figure]:
    """Measure exposure before and after, a line a model, attack and state: the worst of its targets and seeds."""
    before = {model: lists_of(tables.interactions, tables.items, _recipe(model, STATES[1])) for model in models}
    even = 10 / before[models[0]].num_items
    after = {case: _attacked(tables, case, models) for case in cases}
    for model in models:
        for kind in dict.fromkeys(case.attack.kind for case in cases):
            for state in STATES:
                mine = [case for case in cases if case.attack.kind == kind]
                worst: dict[str, float] = {}
                for case in mine:
                    shown = after[case][model, state].exposure(case.attack.target)
                    worst[case.attack.target] = max(shown, worst.get(case.attack.target, 0.0))
                pairs = [(before[model].exposure(target), shown) for target, shown in worst.items()]
                yield _line(model, kind, state, pairs, even)


def detection_figures(tables: Tables, cases: list[Case]) -> Iterator[Figure]:
    """Measure delay, share of fake accounts found, people suspected with them, and alarms on the days as they are."""
    quick = [_days_to_alarm(tables, case) for case in cases]
    worst = max(quick, key=lambda one: one.delay)
    note = f"{len(cases)} attacks, each judged at the end of every day from the attack on"
    yield Figure("days from the attack to the alarm, worst", "1", f"{worst.delay}", worst.delay <= 1, note)
    found = min(one.found for one in quick)
    people = max(one.people for one in quick)
    yield Figure("fake accounts found on that day, worst", "-", f"{found:.1%}", None, note)
    yield Figure("people suspected with them, worst", "-", f"{people} of {quick[0].seen}", None, note)
    slow = [
        replace(c, attack=replace(c.attack, hours=168.0)) for c in cases if c.attack.target == cases[0].attack.target
    ]
    late = [_days_to_alarm(tables, case) for case in slow]
    yield Figure(
        "the same, spread over 7 days",
        "-",
        f"{min(one.delay for one in late)} to {max(one.delay for one in late)} days",
        None,
        f"{min(one.found for one in late):.0%} of the accounts that acted by then found; one target",
    )
    alarms, accounts, users = 0, 0, 0
    for day in range(4, _DAYS + 1):
        suspects = judged(tables.interactions, day)
        alarms += suspects.targets.num_rows > 0
        accounts += len(suspects.user_ids)
        users += suspects.users
    clean = f"days 4 to {_DAYS} as they are, each judged by those before it"
    yield Figure("alarms on clean days", "0", f"{alarms} of {_DAYS - 3}", alarms == 0, clean)
    yield Figure(
        "accounts suspected on clean days", "-", f"{accounts} of {users} ({accounts / users:.4%})", None, clean
    )


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of 10 of the people asked.

    Attributes:
        items: ``(Q, 10)`` indices.
        split: Whose vocabulary they are of.
    """

    items: NDArray[np.int32]
    split: Split

    @property
    def num_items(self) -> int:
        """Items of the catalogue."""
        return len(self.split.vocabulary)

    def exposure(self, item_id: str) -> float:
        """Return the share of the lists that hold an item."""
        index = self.split.vocabulary.encode([item_id])[0]
        return float((self.items == index).any(axis=1).mean())


@dataclass(frozen=True)
class Alarm:
    """How an attack was found.

    Attributes:
        delay: Days from its first moment to the alarm; 99 where there was none.
        found: Share of the fake accounts that had acted and were suspect on that day.
        people: Others that were.
        seen: Accounts of the day.
    """

    delay: int
    found: float
    people: int
    seen: int


def lists_of(interactions: pa.Table, items: pa.Table, recipe: Recipe) -> Lists:
    """Train, and ask for the lists of the people of the last days, through the path that serves."""
    split = split_of(interactions, items, recipe)
    trained = train(recipe, split, checkpoint_folder=Path(tempfile.mkdtemp()), seed=recipe.seed)
    _, last = np.unique(split.test.user_ids[::-1], return_index=True)
    rows = np.sort(len(split.test) - 1 - last)
    rows = rows[:: max(1, len(rows) // _USERS)]
    with tempfile.TemporaryDirectory() as folder:
        digest = write_bundle(
            Path(folder),
            scorer=trained.scorer,
            vocabulary=split.vocabulary,
            items=split.items,
            item_counts=split.item_counts,
            recipe=recipe,
            snapshot="benchmark",
            trained_until=split.train_until,
            metrics={},
            probes=split.train,
        )
        ranker = Ranker(load_bundle(Path(folder), digest))
        return Lists(ranker.top_k(split.test.histories.take(rows), k=10, remove_seen=True).items, split)


def split_of(interactions: pa.Table, items: pa.Table, recipe: Recipe) -> Split:
    """Divide at the fixed days."""
    return split_interactions(interactions, items, data=recipe.data, split=recipe.split)


def targets_of(split: Split) -> list[str]:
    """Return the items at `_QUANTILES` of the catalogue by clicks."""
    counts = split.item_counts[2:]
    order = np.argsort(counts, kind="stable")
    return [str(split.vocabulary.ids[order[int(share * len(order))]]) for share in _QUANTILES]


def judged(interactions: pa.Table, day: int) -> Suspects:
    """Judge one day by those before it."""
    start, end = day_start(day), day_start(day + 1)
    return find_suspects(window(interactions, end=start), window(interactions, start=start, end=end))


def day_start(day: int) -> datetime:
    """Return the first moment of a day, counted from 1."""
    return _FIRST + timedelta(days=day)


def on_its_clock(tables: Tables) -> Tables:
    """Move the times to the data's own clock, on which its days begin."""
    place = tables.interactions.column_names.index(schema.TIMESTAMP)
    moved = pc.add(tables.interactions[schema.TIMESTAMP], pa.scalar(_CLOCK))
    return replace(tables, interactions=tables.interactions.set_column(place, schema.INTERACTIONS.field(place), moved))


def _attacked(tables: Tables, case: Case, models: list[str]) -> dict[tuple[str, str], Lists]:
    events = inject(tables.interactions, tables.items, case.attack, seed=case.seed)
    defended = without_accounts(events, judged(events, _ATTACK_DAY).user_ids)
    return {
        (model, state): lists_of(defended if state == STATES[2] else events, tables.items, _recipe(model, state))
        for model in models
        for state in STATES
    }


def _days_to_alarm(tables: Tables, case: Case) -> Alarm:
    events = inject(tables.interactions, tables.items, case.attack, seed=case.seed)
    last = min(_DAYS, (ends_at(case.attack) - _FIRST).days)
    for day in range(_ATTACK_DAY, last + 1):
        suspects = judged(events, day)
        targets = suspects.targets.filter(pc.equal(suspects.targets[schema.ITEM_ID], case.attack.target))
        if targets.num_rows:
            assert targets[DAY][0].as_py() == day_start(day).date()
            acted = window(events, start=day_start(_ATTACK_DAY), end=day_start(day + 1))
            fake = pc.unique(acted.filter(pc.equal(acted[schema.ORIGIN], schema.ORIGIN_SYNTHETIC))[schema.USER_ID])
            hit = pc.sum(pc.is_in(fake, value_set=suspects.user_ids)).as_py()
            return Alarm(day - _ATTACK_DAY + 1, hit / len(fake), len(suspects.user_ids) - hit, suspects.users)
    return Alarm(99, 0.0, 0, 0)


def _line(model: str, kind: str, state: str, pairs: list[tuple[float, float]], even: float) -> Figure:
    ratios = [after / max(before, even) for before, after in pairs]
    holds = max(ratios) <= LIMIT if state == STATES[2] else None
    shares = ", ".join(f"{before:.2%} to {after:.2%}" for before, after in pairs)
    target = f"at most {LIMIT:g} x" if state == STATES[2] else "-"
    return Figure(f"{model}, {kind}, {state}", target, f"{max(ratios):.2f} x", holds, shares)


def _recipe(model: str, state: str) -> Recipe:
    repeats = {"maximum_repeats": _UNCAPPED} if state == STATES[0] else {}
    config = {"events_per_user": _UNCAPPED} if state == STATES[0] and model == "popularity" else {}
    return Recipe(
        name="shilling",
        model=ModelChoice(name=model, config=config),
        data=DataConfig(label="clicked", minimum_item_interactions=_LEAST_CLICKS, **repeats),
        split=SplitConfig(validation_from=day_start(_TRAIN_DAYS + 1), test_from=day_start(_TEST_FROM)),
    )


if __name__ == "__main__":
    raise SystemExit(main())
