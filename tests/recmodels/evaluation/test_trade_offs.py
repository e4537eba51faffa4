"""Points of a curve are evaluations of the same bundle, and the picture is one."""

import numpy as np
import pytest

from recmodels.bundle import load_bundle
from recmodels.data.histories import Histories
from recmodels.data.splits import Queries
from recmodels.evaluation import metrics, plots
from recmodels.evaluation.trade_offs import scaled, trade_offs
from recmodels.reranking.config import RerankingConfig
from tests.recmodels.worlds import full_items, save_bundle, static

STAGES = {"stages": [{"name": "mmr", "config": {"strength": 0.4}}, {"name": "exploration", "config": {"rate": 0.3}}]}


def test_every_strength_is_scaled_up_to_1_and_0_leaves_the_stages_out():
    reranking = RerankingConfig.model_validate(STAGES)
    assert scaled(reranking, 0).stages == ()
    assert scaled(reranking, 1) == reranking
    doubled = scaled(reranking, 3)
    assert [stage.config.get("strength", stage.config.get("rate")) for stage in doubled.stages] == [
        1.0,
        pytest.approx(0.9),
    ]
    assert doubled.stages[1].config["places"] == reranking.stages[1].config["places"]


def test_more_strength_shows_more_categories_and_fewer_targets(tmp_path):
    """Items i0 to i9 are of one category and all targets, i10 to i19 each of their own."""
    facts = {f"i{n}": {"category": "a" if n < 10 else f"b{n}", "creator_id": f"c{n}"} for n in range(20)}
    digest = save_bundle(tmp_path, static(*range(40, 20, -1)), items=full_items(facts))
    targets = Histories.from_lists([[n + 2] for n in range(10)])
    users = np.array([f"u{n}" for n in range(10)])
    histories, surfaces = Histories.from_lists([[]] * 10), np.array(["video"] * 10)
    queries = Queries(histories, targets, users, surfaces, np.zeros(10, np.bool_))
    releases = [
        (s, RerankingConfig.model_validate({"stages": [{"name": "mmr", "config": {"strength": s}}]}))
        for s in (0.0, 0.5, 1.0)
    ]
    points = trade_offs(load_bundle(tmp_path, digest), queries, releases=releases, remove_seen=True)
    assert points[0].metrics["recall_at_10"] == 1.0
    assert points[0].metrics["diversity_at_10"] == 0.0
    assert points[2].metrics["diversity_at_10"] == 1.0
    assert points[2].metrics["recall_at_10"] == pytest.approx(0.1)
    assert 0.1 <= points[1].metrics["recall_at_10"] <= 1.0
    plots.trade_offs({"mmr": points}, tmp_path / "plots" / "trade_offs.png")
    assert (tmp_path / "plots" / "trade_offs.png").read_bytes()[:4] == b"\x89PNG"


def test_the_distance_of_a_list_is_the_mean_over_its_pairs_by_hand():
    """Cosines 0, 1/2 and sqrt(3)/2 in the first list; the second has a pair of copies and no vector."""
    vectors = np.array([[0, 0], [0, 0], [2, 0], [0, 1], [0.5, np.sqrt(0.75)], [4, 0], [0, 0]], np.float32)
    lists = np.array([[2, 3, 4], [2, 5, 6], [2, 0, 0]], np.int32)
    expected = [1 - (0 + 0.5 + np.sqrt(0.75)) / 3, 0, np.nan]
    assert metrics.distance(lists, vectors, k=3) == pytest.approx(expected, nan_ok=True, abs=1e-7)
    assert metrics.distance(lists[:0], vectors, k=3).tolist() == []
