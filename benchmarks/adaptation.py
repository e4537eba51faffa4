"""A backbone is adapted to a surface that it never saw.

    python -m benchmarks.adaptation kuairand FOLDER --surface tab_4

The backbone learns from the training part of all other surfaces. Each method is then given 1 % and 10 % of the new
surface's users: their events there are the targets, their histories hold all surfaces. All is asked for the new
surface's test part, over the whole catalogue, that of the training part of all surfaces. `frozen` is the backbone as it
is; `scratch` has random weights and the same rows as the others.

Each method is tried with three learning rates, and the epoch and the rate are chosen on the new surface's validation
part, the same for all of them. CPU-seconds are those of the steps of the chosen trial alone; choosing costs each method
the same. Intervals are of 95 % over users, each with the mean of their seeds; a difference is paired by users.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.incremental import Figure, bundle_of, paired
from recmodels.adaptation.config import AdaptationConfig
from recmodels.adaptation.focus import focus
from recmodels.bundle import Bundle
from recmodels.data.cuts import as_moment
from recmodels.data.entities import normalise_items
from recmodels.data.interactions import deduplicate, normalise
from recmodels.data.schema import SURFACE, TIMESTAMP, USER_ID, Tables
from recmodels.data.sources import SOURCES
from recmodels.data.splits import Split, split_interactions
from recmodels.evaluation.evaluator import evaluate
from recmodels.presets import PRESETS
from recmodels.ranker import Ranker
from recmodels.recipe import DataConfig, EvaluationConfig, Recipe, SplitConfig, override, parse_recipe
from recmodels.training.trainer import Parent, Trained, train

RATES: dict[str, tuple[float, ...]] = {
    "frozen": (1e-3,),
    "scratch": (1e-3, 3e-3, 1e-2),
    "prefix": (3e-3, 1e-2, 3e-2),
    "low_rank": (1e-3, 3e-3, 1e-2),
    "full": (1e-3, 3e-3, 1e-2),
}
"""Learning rates that each method is tried with."""
_CUTS = (0.7, 0.8)
_NDCG, _RECALL = "ndcg_at_10", "recall_at_20"


@dataclass
class Meter:
    """CPU-seconds from one event of a training to the next, added up over its steps."""

    seconds: float = 0.0
    _since: float = field(default_factory=time.process_time)
    _last: float = 0.0

    def began(self, _forecast: object) -> None:
        """Start to count, after the trial step."""
        self._since = time.process_time()

    def stepped(self, _done: int, _all: int) -> None:
        """Note when a step ended."""
        self._last = time.process_time()

    def judged(self, _epoch: object) -> None:
        """Add an epoch's steps, without the validation after them."""
        self.seconds += self._last - self._since
        self._since = time.process_time()


@dataclass(frozen=True, eq=False)
class Attempt:
    """One method at one share and seed.

    Attributes:
        users: Per user, on the new surface's test part.
        validation: ndcg_at_10 by which rate and epoch were chosen.
        rate: The chosen one.
        epochs: Until training stopped.
        seconds: CPU-seconds of the steps.
        parameters: Numbers that were trained.
        bytes: Of what has to be kept beside the parent.
        people: Users that were learned from.
        targets: Their events on the surface.
    """

    users: pa.Table
    validation: float
    rate: float
    epochs: int
    seconds: float
    parameters: int
    bytes: int
    people: int
    targets: int


@dataclass(frozen=True)
class Line:
    """One method at one share, over the seeds."""

    surface: str
    share: float
    method: str
    people: float
    targets: float
    ndcg_at_10: Figure
    recall_at_20: Figure
    against_full: Figure
    against_frozen: Figure
    against_scratch: Figure
    validation: float
    cpu_seconds: float
    epochs: float
    rates: tuple[float, ...]
    parameters: int
    bytes: int


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON document a surface, as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="source plug-in, such as kuairand or synthetic")
    parser.add_argument("path", type=Path, help="what the source reads")
    parser.add_argument("--surface", action="append", required=True, help="one that the backbone does not see")
    parser.add_argument("--label", default="clicked", help="what makes an interaction positive")
    parser.add_argument("--model", default="sasrec", choices=("sasrec", "esasrec"))
    parser.add_argument("--share", action="append", type=float, default=[], help="of the surface's users: .01 and .1")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--epochs", type=int, default=20, help="most passes of an adaptation")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="change a field of the backbone")
    options = parser.parse_args(arguments)
    recipe = PRESETS[options.model](DataConfig.model_validate({"label": options.label}))
    recipe = override(recipe, options.overrides).model_copy(update={"evaluation": EvaluationConfig(top_ks=(10, 20))})
    tables = SOURCES.module(options.source).read(options.path)
    for surface in options.surface:
        found = run(
            tables,
            recipe,
            surface=surface,
            shares=tuple(options.share) or (0.01, 0.1),
            seeds=range(options.seeds),
            epochs=options.epochs,
        )
        print(json.dumps([asdict(line) for line in found]), flush=True)
    return 0


def run(
    tables: Tables, recipe: Recipe, *, surface: str, shares: tuple[float, ...], seeds: range, epochs: int
) -> list[Line]:
    """Train a backbone a seed without a surface, and adapt it by every method and share."""
    attempts: dict[tuple[float, str], list[Attempt]] = {}
    others, whole = splits(tables, recipe, surface)
    with TemporaryDirectory() as scratch:
        for seed in seeds:
            one = recipe.model_copy(update={"seed": seed})
            parent = bundle_of(Path(scratch), train(one, others, checkpoint_folder=None, seed=seed), one, others)
            for share in shares:
                for method in RATES:
                    config = {"surfaces": [surface], "share": share, "epochs": epochs, "parent": parent.digest}
                    best = max(_trials(Path(scratch), one, whole, parent, method, config), key=_validation)
                    attempts.setdefault((share, method), []).append(best)
    return [_line(surface, share, method, attempts) for share, method in attempts]


def splits(tables: Tables, recipe: Recipe, surface: str) -> tuple[Split, Split]:
    """Return what the backbone sees, and the same days with all surfaces."""
    rows = deduplicate(normalise(tables.interactions, source=tables.name)).table
    items = normalise_items(tables.items, rows, source=tables.name)
    moments = pc.quantile(pc.cast(rows[TIMESTAMP], pa.int64()), q=list(_CUTS), interpolation="lower").to_pylist()
    cuts = SplitConfig(validation_from=as_moment(moments[0]), test_from=as_moment(moments[1]))
    others = rows.filter(pc.not_equal(rows[SURFACE], surface))
    first, second = (split_interactions(part, items, data=recipe.data, split=cuts) for part in (others, rows))
    return first, second


def _trials(
    root: Path, recipe: Recipe, split: Split, parent: Bundle, method: str, config: dict[str, Any]
) -> Iterator[Attempt]:
    part = focus(split, AdaptationConfig.model_validate(config | {"method": "frozen"}), seed=recipe.seed)
    targets = int(part.is_target[part.train.positions()].sum()) if part.is_target is not None else 0
    for rate in RATES[method]:
        values = recipe.model_dump(mode="json")
        if method == "scratch":
            values["trainer"] |= {"epochs": config["epochs"], "learning_rate": rate}
            chosen, given, start = parse_recipe(values), part, None
        else:
            chosen = parse_recipe(values | {"adaptation": config | {"method": method, "learning_rate": rate}})
            given, start = split, Parent.of(parent)
        meter = Meter()
        trained = train(
            chosen,
            given,
            checkpoint_folder=None,
            seed=recipe.seed,
            parent=start,
            on_step=meter.stepped,
            on_epoch=meter.judged,
            on_forecast=meter.began,
        )
        bundle = bundle_of(root, trained, chosen, split)
        found = evaluate(Ranker(bundle), part.test, config=recipe.evaluation, seed=0, vocabulary=split.vocabulary)
        parameters, kept = _size(root, method, trained)
        yield Attempt(
            users=found.per_user,
            validation=trained.metrics["ndcg_at_10"],
            rate=rate,
            epochs=len(trained.epochs),
            seconds=meter.seconds,
            parameters=parameters,
            bytes=kept,
            people=len(part.train),
            targets=targets,
        )


def _validation(attempt: Attempt) -> float:
    return attempt.validation


def _size(root: Path, method: str, trained: Trained) -> tuple[int, int]:
    """Return how many numbers were trained, and the bytes of what has to be kept for them."""
    if trained.adapter is not None:
        return trained.adapter.parameters, trained.adapter.save(root / "adapter.safetensors")
    if method == "frozen":
        return 0, 0
    weights = trained.weights.values()
    return sum(array.size for array in weights), sum(array.nbytes for array in weights)


def _line(surface: str, share: float, method: str, attempts: dict[tuple[float, str], list[Attempt]]) -> Line:
    own = attempts[share, method]

    def against(other: str) -> Figure:
        return paired(_by_user(own, _NDCG) - _by_user(attempts[share, other], _NDCG))

    return Line(
        surface=surface,
        share=share,
        method=method,
        people=float(np.mean([one.people for one in own])),
        targets=float(np.mean([one.targets for one in own])),
        ndcg_at_10=paired(_by_user(own, _NDCG)),
        recall_at_20=paired(_by_user(own, _RECALL)),
        against_full=against("full"),
        against_frozen=against("frozen"),
        against_scratch=against("scratch"),
        validation=float(np.mean([one.validation for one in own])),
        cpu_seconds=float(np.mean([one.seconds for one in own])),
        epochs=float(np.mean([one.epochs for one in own])),
        rates=tuple(one.rate for one in own),
        parameters=own[0].parameters,
        bytes=own[0].bytes,
    )


def _by_user(attempts: list[Attempt], metric: str) -> NDArray[np.float64]:
    """Return a metric by user and seed, (U, S); every attempt asks the same users, in the same order."""
    first = attempts[0].users
    assert all(one.users[USER_ID].equals(first[USER_ID]) for one in attempts), "all are asked the same"
    return np.stack([one.users[metric].to_numpy() for one in attempts], axis=1)


if __name__ == "__main__":
    raise SystemExit(main())
