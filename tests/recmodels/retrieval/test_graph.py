import re
import threading

import faiss
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recmodels.retrieval.config import RetrievalConfig
from recmodels.retrieval.graph import GRAPH, ItemGraph, one_thread

CONFIG = RetrievalConfig(hnsw_m=8, ef_construction=40, ef_search=64)
ITEMS = 600


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(ITEMS, 8)) * rng.uniform(0.2, 3, size=(ITEMS, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def graph(vectors):
    return ItemGraph.build(vectors, CONFIG)


def test_most_of_the_largest_inner_products_are_found_when_vectors_are_of_unequal_length(graph, vectors, queries):
    found = graph.search(queries, 10)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10] + 2
    assert np.mean([len({*a} & {*b}) for a, b in zip(found.tolist(), expected.tolist(), strict=True)]) > 9.5


def test_padding_is_answered_when_more_is_wanted_than_there_is(vectors, queries):
    found = ItemGraph.build(vectors[:3], CONFIG).search(queries[:1], 5)[0].tolist()
    assert sorted(found) == [0, 0, 2, 3, 4]


def test_one_item_makes_a_graph_when_there_is_no_other(vectors, queries):
    assert ItemGraph.build(vectors[:1], CONFIG).search(queries[:1], 1).tolist() == [[2]]


def test_bytes_are_equal_when_a_graph_is_built_twice(graph, vectors, tmp_path):
    (tmp_path / "again").mkdir()
    graph.save(tmp_path)
    ItemGraph.build(vectors.copy(), CONFIG).save(tmp_path / "again")
    assert (tmp_path / GRAPH).read_bytes() == (tmp_path / "again" / GRAPH).read_bytes()


def test_a_loaded_graph_finds_the_same_when_it_was_saved(graph, vectors, queries, tmp_path):
    graph.save(tmp_path)
    loaded = ItemGraph.load(tmp_path, vectors)
    assert loaded.ef_search == 64
    np.testing.assert_array_equal(loaded.search(queries, 20), graph.search(queries, 20))


def changed(array, places, value):
    array = array.copy()
    array[places] = value
    return array


def item_of_one_level(arrays):
    return int(np.flatnonzero(arrays["levels"] == 1)[0])


def upper_link_to_the_ground(arrays):
    """Let the entry's highest layer lead to an item that stands in the lowest alone."""
    levels = arrays["levels"].astype(np.int64)
    ends = np.cumsum(8 * (levels + 1))
    return changed(arrays["neighbors"], ends[arrays["numbers"][0]] - 8, item_of_one_level(arrays))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"levels": a["levels"][:-1]}, "599 levels for 600 items"),
        (lambda a: {"levels": changed(a["levels"], 5, 0)}, "a search cannot start at"),
        (lambda a: {"levels": changed(a["levels"], 5, 200)}, "a search cannot start at"),
        (lambda a: {"numbers": changed(a["numbers"], 0, 600)}, "a search cannot start at 600"),
        (lambda a: {"numbers": changed(a["numbers"], 0, -1)}, "a search cannot start at -1"),
        (lambda a: {"numbers": changed(a["numbers"], 0, item_of_one_level(a))}, "a search cannot start at"),
        (lambda a: {"numbers": changed(a["numbers"], 1, 10**6)}, "1000000 links an item"),
        (lambda a: {"numbers": changed(a["numbers"], 1, 5)}, "links, expected"),
        (lambda a: {"numbers": changed(a["numbers"], 2, 2**40)}, "candidates of a search, expected 1 to"),
        (lambda a: {"numbers": a["numbers"][:2]}, "it holds 2 numbers, expected entry, links, ef_search"),
        (lambda a: {"neighbors": changed(a["neighbors"], 3, 600)}, "links lead to items from -1 to 600 of 600"),
        (lambda a: {"neighbors": changed(a["neighbors"], 3, -2)}, "links lead to items from -2"),
        (lambda a: {"neighbors": a["neighbors"][:-1]}, "links, expected"),
        (lambda a: {"neighbors": upper_link_to_the_ground(a)}, "does not stand in its layer"),
        (lambda a: {"neighbors": a["neighbors"].astype(np.int64)}, "'neighbors' is int64"),
    ],
)
def test_a_graph_is_refused_when_a_search_would_leave_its_arrays(graph, vectors, tmp_path, change, words):
    graph.save(tmp_path)
    arrays = load_file(tmp_path / GRAPH)
    save_file(arrays | change(arrays), tmp_path / GRAPH)
    with pytest.raises(ValueError, match=r"^graph.safetensors: ") as refusal:
        ItemGraph.load(tmp_path, vectors)
    assert re.search(words, str(refusal.value))


def test_a_graph_is_refused_when_the_vectors_are_others(graph, vectors, tmp_path):
    graph.save(tmp_path)
    with pytest.raises(ValueError, match="600 levels for 599 items"):
        ItemGraph.load(tmp_path, vectors[1:])


def test_threads_of_faiss_are_put_back_when_a_search_is_over():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    with one_thread():
        assert faiss.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == 2
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert faiss.omp_get_max_threads() == 2
    faiss.omp_set_num_threads(before)


def test_threads_of_another_thread_stay_when_a_search_runs():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    entered, leave = threading.Event(), threading.Event()

    def search() -> None:
        with one_thread():
            entered.set()
            leave.wait(5)

    searching = threading.Thread(target=search)
    searching.start()
    assert entered.wait(5)
    assert faiss.omp_get_max_threads() == 2
    leave.set()
    searching.join(5)
    faiss.omp_set_num_threads(before)
