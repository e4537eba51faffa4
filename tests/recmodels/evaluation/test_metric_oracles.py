"""Our metrics against those of ranx and RecTools, kept by benchmarks/metric_oracles.py with their versions."""

import json
from pathlib import Path

import numpy as np
import pytest

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import PADDING, UNKNOWN
from recmodels.evaluation.metrics import ACCURACY, accuracy_metrics

KEPT = json.loads(Path(__file__).with_name("metric_oracles.json").read_text())


@pytest.fixture(scope="module")
def ours() -> dict[str, np.ndarray]:
    longest = max(map(len, KEPT["lists"]))
    lists = np.full((len(KEPT["lists"]), longest), PADDING, dtype=np.int32)
    for row, items in enumerate(KEPT["lists"]):
        lists[row, : len(items)] = items
    targets = [[UNKNOWN if item >= KEPT["outside"] else item for item in row] for row in KEPT["targets"]]
    return accuracy_metrics(lists, Histories.from_lists(targets), top_ks=KEPT["top_ks"])


@pytest.mark.parametrize("peer", ["ranx", "rectools"])
@pytest.mark.parametrize("metric", sorted(ACCURACY))
@pytest.mark.parametrize("k", KEPT["top_ks"])
def test_metrics_equal_the_peers_for_every_user(ours, peer: str, metric: str, k: int) -> None:
    expected = np.array(KEPT["peers"][peer][f"{metric}_at_{k}"])
    assert len(expected) == 300
    assert np.abs(ours[f"{metric}_at_{k}"] - expected).max() <= 1e-9


def test_the_kept_lists_hold_the_cases_in_which_metrics_go_apart(ours) -> None:
    lists, targets = KEPT["lists"], KEPT["targets"]
    longest = max(KEPT["top_ks"])
    assert sum(len(row) < longest for row in lists) > 30
    assert sum(len(row) == 1 for row in targets) > 30
    assert sum(len(row) > longest for row in targets) > 30
    assert sum(any(item >= KEPT["outside"] for item in row) for row in targets) > 30
    assert 30 < (ours[f"hit_at_{longest}"] == 0).sum() < 150
    assert KEPT["versions"]["ranx"] == "0.3.21"
    assert KEPT["versions"]["rectools"] == "0.19.0"
