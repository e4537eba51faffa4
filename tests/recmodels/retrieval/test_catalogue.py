import numpy as np
import pytest

from recmodels.retrieval.catalogue import Catalogue
from recmodels.retrieval.newcomers import attach
from tests.recmodels.worlds import a_bundle, a_vocabulary, an_items_table, full_items, static

INF = np.inf


@pytest.fixture
def catalogue(tmp_path):
    items = an_items_table(a_vocabulary(4), blocked=("i1",), surfaces={"i0": "live", "i2": "video"})
    return Catalogue.of(a_bundle(tmp_path, static(1, 2, 3, 4), items=items))


@pytest.fixture
def joined(tmp_path):
    items = full_items({"i0": {"surface": "live"}, "i1": {}, "i2": {}})
    bundle = a_bundle(tmp_path, static(1, 2, 3), items=items)
    new = full_items({"n0": {"surface": "search"}, "n1": {"safety": "blocked"}, "n2": {}})
    return Catalogue.of(bundle).joined_by(attach(bundle, new, version=7))


def test_nothing_is_added_to_items_that_may_be_shown(catalogue):
    assert catalogue.shelf(None, ()).penalties.tolist() == [-INF, -INF, 0, -INF, 0, 0]
    assert catalogue.shelf("live", ()).penalties.tolist() == [-INF, -INF, 0, -INF, -INF, 0]
    assert catalogue.shelf("video", ("i3",)).penalties.tolist() == [-INF, -INF, -INF, -INF, 0, -INF]


def test_the_share_counts_items_alone(catalogue):
    assert catalogue.shelf(None, ()).share == 3 / 4
    assert catalogue.shelf("video", ("i3", "never-heard-of")).share == 1 / 4


def test_a_shelf_is_made_once_when_it_is_asked_for_again(catalogue):
    blocked = frozenset({"i3"})
    assert catalogue.shelf("live", blocked) is catalogue.shelf("live", ["i3", "i3"])
    assert catalogue.shelf("no such surface", blocked) is catalogue.shelf(None, blocked)


def test_few_shelves_are_kept_when_takedowns_change_all_the_time(catalogue):
    shelves = [catalogue.shelf(None, frozenset({f"x{n}"})) for n in range(40)]
    assert len({id(shelf) for shelf in shelves}) == 40
    assert len(catalogue._shelves) <= 16


def test_columns_and_ids_translate_both_ways_when_newcomers_joined(joined):
    assert joined.size == 8
    assert joined.encode(["i2", "n0", "n2", "who"]).tolist() == [4, 5, 7, 1]
    assert joined.decode(np.array([4, 5, 7, 1], np.int32)) == ["i2", "n0", "n2", "<unknown>"]


def test_newcomers_are_filtered_like_the_others_when_they_joined(joined):
    assert joined.shelf(None, ("n2",)).penalties.tolist() == [-INF, -INF, 0, 0, 0, 0, -INF, -INF]
    assert joined.shelf("live", ()).penalties.tolist() == [-INF, -INF, 0, 0, 0, -INF, -INF, 0]


def test_a_surface_that_a_newcomer_brings_leaves_out_items_of_others(joined):
    assert joined.shelf("search", ()).penalties.tolist() == [-INF, -INF, -INF, 0, 0, 0, -INF, 0]
