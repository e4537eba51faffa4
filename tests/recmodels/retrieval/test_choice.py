import numpy as np
import pytest

from recmodels.retrieval.choice import choose, exact_for
from recmodels.retrieval.config import RetrievalConfig


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(1500, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(40, 12)).astype(np.float32)


def recall(graph, vectors, queries):
    """Share of the hundred largest inner products that a graph finds, by sorting."""
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :100] + 2
    found = graph.search(queries, 100)
    return np.mean([len({*a} & {*b}) / 100 for a, b in zip(found.tolist(), expected.tolist(), strict=True)])


def test_a_graph_is_kept_with_its_recall_when_it_reaches_the_floor(vectors, queries):
    choice = choose(vectors, RetrievalConfig(hnsw_m=16, ef_search=512), queries=queries)
    report = choice.report
    assert report.kind == "hnsw"
    assert report.recall_at_100 == pytest.approx(recall(choice.graph, vectors, queries), abs=1e-4)
    assert report.recall_at_100 >= 0.98
    assert report.ef_search == choice.graph.ef_search
    assert f"{report.recall_at_100:.4f} of the best 100 of 1500 items" in report.words


def test_fewer_candidates_are_searched_when_they_are_enough(vectors, queries):
    easy = choose(vectors, RetrievalConfig(ef_search=512, recall_floor=0.5), queries=queries)
    assert easy.report.ef_search == 64
    hard = choose(vectors, RetrievalConfig(ef_search=512, recall_floor=0.999), queries=queries)
    assert hard.report.ef_search is None or hard.report.ef_search > 64


def test_exact_search_is_kept_and_the_recall_told_when_the_graph_finds_too_little(vectors, queries):
    config = RetrievalConfig(hnsw_m=4, ef_construction=8, ef_search=16)
    choice = choose(vectors, config, queries=queries)
    assert choice.graph is None
    assert choice.report.kind == "exact"
    assert choice.report.recall_at_100 < 0.98
    assert "below the floor of 0.98" in choice.report.words


def test_all_items_count_as_the_best_when_there_are_fewer_than_a_hundred(vectors, queries):
    report = choose(vectors[:30], RetrievalConfig(), queries=queries).report
    assert (report.kind, report.recall_at_100) == ("hnsw", 1.0)
    assert "best 30 of 30" in report.words


def test_no_recall_is_told_when_no_graph_was_built():
    report = exact_for(12).report
    assert (report.kind, report.recall_at_100, report.ef_search) == ("exact", None, None)


@pytest.mark.parametrize(
    ("config", "num_items", "expected"),
    [
        ({}, 249_999, False),
        ({}, 250_000, True),
        ({"hnsw_from": 10}, 10, True),
        ({"kind": "exact", "hnsw_from": 1}, 10**9, False),
        ({"kind": "hnsw"}, 2, True),
    ],
)
def test_a_graph_is_wanted_when_the_recipe_says_so_or_items_are_many(config, num_items, expected):
    assert RetrievalConfig(**config).wants_graph(num_items) is expected
