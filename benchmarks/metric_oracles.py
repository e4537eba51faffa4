"""What ranx and RecTools say of one seeded set of lists, written as the fixture that our own metrics are held to.

The libraries need an older NumPy than this project, so this runs in an environment of its own, and nothing of the
project is imported:

    python3.11 -m venv peers && peers/bin/pip install numpy==1.26.4 pandas==2.3.3 scipy==1.17.1 ranx==0.3.21 \
        rectools==0.19.0
    peers/bin/python benchmarks/metric_oracles.py tests/recmodels/evaluation/metric_oracles.json

A list holds its items best first, without duplicates; tied scores were put in order before any library saw them. A
target that is outside the catalogue has an id that no list can hold. Numbers are rounded to 13 digits.
"""

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from ranx import Qrels, Run, evaluate
from rectools import Columns
from rectools.metrics import MRR, NDCG, HitRate, Recall, calc_metrics

SEED = 20261122
USERS = 300
CATALOGUE = 120
LONGEST = 20
TOP_KS = (1, 5, 20)
MOST_TARGETS = 30
OUTSIDE = 1_000_000
"""First id of what is outside the catalogue; each such target has an id of its own."""
NAMES = ("recall", "ndcg", "mrr", "hit")
LIBRARIES = ("numpy", "pandas", "scipy", "ranx", "rectools")


def rankings() -> tuple[list[list[int]], list[list[int]]]:
    """Return a list and targets for every user: short lists, tied scores, no hit, few or many targets, misses."""
    rng = np.random.default_rng(SEED)
    lists, targets = [], []
    for user in range(USERS):
        scores = rng.integers(0, 12, size=CATALOGUE)  # many ties, put in order by a shuffle
        order = rng.permutation(CATALOGUE)
        ranked = order[np.argsort(-scores[order], kind="stable")] + 2
        length = LONGEST if user % 5 else int(rng.integers(1, LONGEST))
        count = 1 if user % 3 == 0 else int(rng.integers(2, MOST_TARGETS))
        inside = rng.choice(CATALOGUE, size=count, replace=False) + 2
        if user % 7 == 0:
            inside = ranked[LONGEST : LONGEST + count]  # nothing that the list holds
        outside = OUTSIDE + user * MOST_TARGETS + np.arange(int(rng.integers(0, 4)) if user % 4 == 0 else 0)
        lists.append(ranked[:length].tolist())
        targets.append([*inside.tolist(), *outside.tolist()])
    return lists, targets


def by_ranx(lists: list[list[int]], targets: list[list[int]]) -> dict[str, list[float]]:
    """Return every metric of every user by ranx."""
    names = {"recall": "recall", "ndcg": "ndcg", "mrr": "mrr", "hit": "hit_rate"}
    keys = [f"u{user:04}" for user in range(USERS)]
    qrels = Qrels({key: {str(item): 1 for item in row} for key, row in zip(keys, targets, strict=True)})
    run = Run({key: {str(i): 1.0 / (n + 1) for n, i in enumerate(row)} for key, row in zip(keys, lists, strict=True)})
    asked = [f"{theirs}@{k}" for theirs in names.values() for k in TOP_KS]
    evaluate(qrels, run, asked)
    return {
        f"{ours}_at_{k}": [run.scores[f"{theirs}@{k}"][key] for key in keys]
        for ours, theirs in names.items()
        for k in TOP_KS
    }


def by_rectools(lists: list[list[int]], targets: list[list[int]]) -> dict[str, list[float]]:
    """Return every metric of every user by RecTools."""
    reco = pd.DataFrame(
        [(user, item, rank) for user, row in enumerate(lists) for rank, item in enumerate(row, start=1)],
        columns=[Columns.User, Columns.Item, Columns.Rank],
    )
    wanted = pd.DataFrame(
        [(user, item) for user, row in enumerate(targets) for item in row], columns=[Columns.User, Columns.Item]
    )
    values = {}
    for k in TOP_KS:
        metrics = {
            f"recall_at_{k}": Recall(k=k),
            f"ndcg_at_{k}": NDCG(k=k, log_base=2, divide_by_achievable=True),
            f"mrr_at_{k}": MRR(k=k),
            f"hit_at_{k}": HitRate(k=k),
        }
        for name, metric in metrics.items():
            series = metric.calc_per_user(reco, wanted)
            values[name] = series.reindex(range(USERS)).to_numpy().tolist()
        means = calc_metrics(metrics, reco=reco, interactions=wanted)
        assert all(abs(means[name] - np.mean(values[name])) < 1e-12 for name in metrics), "means are not of these users"
    return values


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="JSON file to write")
    path = parser.parse_args().path
    warnings.simplefilter("ignore")
    lists, targets = rankings()
    peers = {"ranx": by_ranx(lists, targets), "rectools": by_rectools(lists, targets)}
    document = {
        "command": "python benchmarks/metric_oracles.py tests/recmodels/evaluation/metric_oracles.json",
        "versions": {name: version(name) for name in LIBRARIES},
        "seed": SEED,
        "rectools_ndcg": "divide_by_achievable=True",
        "outside": OUTSIDE,
        "top_ks": TOP_KS,
        "lists": lists,
        "targets": targets,
        "peers": {
            peer: {name: [round(float(value), 13) for value in column] for name, column in values.items()}
            for peer, values in peers.items()
        },
    }
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    worst = max(
        float(np.max(np.abs(np.array(peers["ranx"][name]) - np.array(peers["rectools"][name]))))
        for name in peers["ranx"]
    )
    print(f"{path}: {path.stat().st_size:,} bytes; the peers differ by {worst:.1e} at most")


if __name__ == "__main__":
    main()
