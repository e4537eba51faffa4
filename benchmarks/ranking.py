"""What the second stage adds to a request, beside its network's bare cost in ONNX Runtime.

    python -m benchmarks.ranking

A ranker (DCNv2, MMoE, attention over a history of 50, ordinal watch time) is trained for one epoch on a small
synthetic world. `judge` is what a request pays: features of 100 candidates, tables, network, calibration, utility.
`bare` runs the same network on inputs made before. Both in turn, CPU milliseconds of this thread, the least of some
rounds' medians.
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from types import SimpleNamespace
from typing import cast

import numpy as np

from benchmarks.table import Figure, report
from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.sources import synthetic
from recmodels.data.splits import split_interactions
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.ranking import graph
from recmodels.ranking.inputs import inputs_of
from recmodels.ranking.judge import Judge, Moment
from recmodels.ranking.model import RankingModel
from recmodels.ranking.requests import Asked, RequestFeatures
from recmodels.ranking.stage import train_stage
from recmodels.recipe import parse_recipe

CANDIDATES, HISTORY, CALLS, ROUNDS = 100, 50, 200, 7
_RATIO, _MILLISECONDS = 1.3, 2.5
_RECIPE = {
    "name": "speed",
    "model": {"name": "popularity"},
    "data": {"label": "clicked"},
    "ranking": {"trainer": {"epochs": 1, "batch_size": 1024}, "features": {"minimum_surface_rows": 200}},
}


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--parts", action="store_true", help="also print what each part of it takes")
    given = parser.parse_args()
    work = a_request()
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, call in work.items():
            spent[name].append(milliseconds(call))
    least = {name: min(times) for name, times in spent.items()}
    if given.parts:
        print({name: round(value, 3) for name, value in least.items()})
    judged, bare = least["judge"], least["bare"]
    note = f"{CANDIDATES} candidates, history of {HISTORY}; bare {bare:.2f} ms"
    figures = [
        Figure(
            "a request's second stage / its network", f"<= {_RATIO}", f"{judged / bare:.2f}", judged <= _RATIO * bare
        ),
        Figure(
            "a request's second stage, CPU ms", f"<= {_MILLISECONDS}", f"{judged:.2f}", judged <= _MILLISECONDS, note
        ),
    ]
    raise SystemExit(report(figures, as_json=given.json))


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median CPU time of a call."""
    times = []
    for _ in range(CALLS):
        began = time.thread_time_ns()
        call()
        times.append((time.thread_time_ns() - began) / 1e6)
    return median(times)


def a_request() -> dict[str, Callable[[], object]]:
    """Return the whole of a request's second stage, its network alone, and its parts."""
    model, split, release = trained()
    manifest = SimpleNamespace(ranking=release, trained_until=split.train_until)
    bundle = SimpleNamespace(ranking=model, manifest=manifest, vocabulary=split.vocabulary)
    judge = Judge(cast("Bundle", bundle))
    rng = np.random.default_rng(0)
    columns = (FIRST_ITEM + rng.permutation(len(split.vocabulary))[:CANDIDATES]).astype(np.int32)
    items = (FIRST_ITEM + rng.integers(len(split.vocabulary), size=HISTORY)).astype(np.int32)
    now = int(datetime(2024, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
    times = now - np.sort(rng.integers(1, 10**12, size=HISTORY))[::-1]
    histories = Histories(items, times, np.zeros(1, np.int64), np.full(1, HISTORY))
    moment = Moment(now, surface="video")
    features = RequestFeatures(model.state)
    asked = Asked(items, times, has_times=True, moment=now, surface="video")
    rows = features.rows_of(split.vocabulary.decode(columns).tolist())
    examples = features.examples(asked, rows)
    fed = model.scorer.looked_up(inputs_of(examples))
    session, outputs = model.scorer.session, [graph.LOGITS, graph.WATCH]
    return {
        "judge": lambda: judge.judge([columns], histories, [moment]),
        "bare": lambda: session.run(outputs, fed),
        "features": lambda: features.examples(asked, rows),
        "inputs": lambda: inputs_of(examples),
        "tables": lambda: model.scorer.looked_up(inputs_of(examples)),
        "score": lambda: model.scorer.score(examples),
    }


def trained() -> tuple[RankingModel, object, object]:
    """Return a ranker of the default recipe, and the split that it was trained on."""
    tables = synthetic.read(None, users=200, items=300, creators=40, days=12, sessions_a_day=0.6)
    recipe = parse_recipe(_RECIPE)
    split = split_interactions(tables.interactions, tables.items, data=recipe.data, split=recipe.split)
    assert recipe.ranking is not None, "the recipe asks for a ranker"
    return train_stage(recipe.ranking, tables, split, seed=0).model, split, recipe.ranking.release


if __name__ == "__main__":
    main()
