"""Of the known items i0 and i1 are by ann and i2 by bob; i0 and i2 are dramas, i1 and i3 comedies."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.ranker import Ranker
from recmodels.retrieval.newcomers import NewcomerScores, attach, group_vectors
from recmodels.scorers import EncoderScorer, FactorScorer, ItemItemScorer
from tests.recmodels.graphs import summing_encoder
from tests.recmodels.worlds import a_bundle, full_items, static

KNOWN = {
    "i0": {"creator_id": "ann", "category": "drama|war"},
    "i1": {"creator_id": "ann", "category": "comedy"},
    "i2": {"creator_id": "bob", "category": "drama"},
    "i3": {"category": "comedy"},
}
NEW = {
    "by ann": {"creator_id": "ann", "category": "comedy"},
    "a drama": {"creator_id": "who?", "category": "drama|comedy"},
    "odd": {"category": "war"},
    "nothing known": {},
}


@pytest.fixture
def bundle(tmp_path):
    return a_bundle(tmp_path, static(1, 2, 6, 11), items=full_items(KNOWN))


@pytest.fixture
def newcomers(bundle):
    return attach(bundle, full_items(NEW), version=3)


def test_neighbours_share_the_creator_or_else_the_main_category_or_else_nothing(newcomers):
    assert newcomers.version == 3
    assert newcomers.item_ids.tolist() == list(NEW)
    half, quarter = 1 / 2, 1 / 4
    assert newcomers.weights.toarray().tolist() == [
        [0, 0, half, half, 0, 0],  # ann's i0 and i1
        [0, 0, half, 0, half, 0],  # the dramas i0 and i2
        [0, 0, quarter, quarter, quarter, quarter],  # war is nobody's main category
        [0, 0, quarter, quarter, quarter, quarter],
    ]


def test_items_that_the_model_knows_are_left_out_and_the_last_row_of_an_id_counts(bundle):
    table = full_items({"i2": {}, "n": {"creator_id": "bob"}})
    again = full_items({"n": {"creator_id": "ann"}, "m": {"creator_id": "bob"}})
    newcomers = attach(bundle, pa.concat_tables([table, again]), version=1)
    assert newcomers.item_ids.tolist() == ["n", "m"]
    assert newcomers.items["creator_id"].to_pylist() == ["ann", "bob"]
    assert newcomers.weights[[0]].toarray().tolist() == [[0, 0, 1 / 2, 1 / 2, 0, 0]]


def test_there_is_no_newcomer_when_no_item_is_new(bundle):
    newcomers = attach(bundle, full_items(KNOWN), version=1)
    assert len(newcomers) == 0
    assert newcomers.weights.shape == (0, 6)
    slate = Ranker(bundle).recommend([], k=2, newcomers=newcomers)
    assert (slate.item_ids, slate.has_newcomers) == (("i3", "i2"), False)


def test_a_newcomer_scores_the_mean_of_its_neighbours_when_scores_are_static(bundle, newcomers):
    slate = Ranker(bundle).recommend([], k=8, newcomers=newcomers)
    assert slate.item_ids == ("i3", "i2", "odd", "nothing known", "a drama", "i1", "by ann", "i0")
    assert slate.scores == (11, 6, 5, 5, 3.5, 2, 1.5, 1)
    assert slate.propensities == (1.0,) * 8
    assert slate.has_newcomers


def test_no_newcomer_is_told_when_none_is_good_enough(bundle, newcomers):
    slate = Ranker(bundle).recommend([], k=2, newcomers=newcomers)
    assert (slate.item_ids, slate.has_newcomers) == (("i3", "i2"), False)


def test_the_known_item_comes_first_when_scores_tie(tmp_path):
    bundle = a_bundle(tmp_path, static(4, 4, 4, 4), items=full_items(KNOWN))
    slate = Ranker(bundle).recommend([], k=5, newcomers=attach(bundle, full_items(NEW), version=1))
    assert slate.item_ids == ("i0", "i1", "i2", "i3", "by ann")


# rows: what i0 .. i3 say of i0 .. i3
TABLE = np.array([[0, 4, 2, 0], [1, 0, 0, 8], [0, 0, 0, 0], [6, 2, 0, 0]], np.float32)


def item_item():
    table = np.zeros((6, 6), np.float32)
    table[2:, 2:] = TABLE
    return ItemItemScorer(sparse.csr_array(table))


def test_a_newcomer_scores_the_mean_of_its_neighbours_when_items_speak_for_items(tmp_path):
    bundle = a_bundle(tmp_path, item_item(), items=full_items(KNOWN))
    newcomers = attach(bundle, full_items(NEW), version=1)
    scores = NewcomerScores(bundle, newcomers).of(Histories.from_lists([[2, 5], [3]]), None)
    # i0 and i3 say 6, 6, 2, 0; i1 says 1, 0, 0, 8
    assert scores.tolist() == [[6, 4, 14 / 4, 14 / 4], [1 / 2, 1 / 2, 9 / 4, 9 / 4]]


def test_a_newcomer_has_its_neighbours_direction_and_length_when_items_have_factors(tmp_path):
    """ann's items are (3, 0) and (0, 3): a mean of (1.5, 1.5), made as long as they are, is (3, 3) / sqrt(2)."""
    factors = np.array([[0, 0], [0, 0], [3, 0], [0, 3], [1, 0], [1, 0]], np.float32)
    scorer = FactorScorer(factors, regularisation=1.0, confidence=2.0)
    bundle = a_bundle(tmp_path, scorer, items=full_items(KNOWN))  # counts 2, 3, 4, 5
    histories = Histories.from_lists([[2, 3], []])
    scores = NewcomerScores(bundle, attach(bundle, full_items(NEW), version=1)).of(histories, None)
    query = scorer.queries(histories)[0]
    assert scores[0, 0] == pytest.approx((query * 3 / np.sqrt(2)).sum(), rel=1e-6)
    assert scores[1].tolist() == [5 / 2, 6 / 2, 14 / 4, 14 / 4]


def test_a_newcomer_is_as_popular_as_its_neighbours_when_no_item_of_the_history_is_known(tmp_path):
    bundle = a_bundle(tmp_path, item_item(), items=full_items(KNOWN))  # counts 2, 3, 4, 5
    newcomers = attach(bundle, full_items(NEW), version=1)
    scores = NewcomerScores(bundle, newcomers).of(Histories.from_lists([[], [1]]), None)
    assert scores.tolist() == [[5 / 2, 3, 7 / 2, 7 / 2]] * 2


def test_a_newcomer_points_where_its_neighbours_do_and_is_as_long_when_a_history_is_encoded(tmp_path):
    vectors = np.array([[9, 9], [9, 9], [1, 0], [0, 1], [3, 2], [0, 0]], np.float32)
    bundle = a_bundle(tmp_path, EncoderScorer(summing_encoder(), vectors, 3), items=full_items(KNOWN))
    newcomers = attach(bundle, full_items(NEW), version=1)
    queries = np.array([[4, 2], [0, -1]], np.float32)
    scores = NewcomerScores(bundle, newcomers).of(Histories.from_lists([[], []]), queries)
    # means (1/2, 1/2), (2, 1) and twice (1, 3/4); mean lengths 1, (1 + root of 13) / 2 and twice (2 + root of 13) / 4
    both, third = (1 + 13**0.5) / 2 / 5**0.5, (2 + 13**0.5) / 4 / 1.25
    expected = [[6 / 2**0.5, 10 * both, 5.5 * third, 5.5 * third], [-1 / 2**0.5, -both, -0.75 * third, -0.75 * third]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_newcomer_without_direction_scores_nothing_when_its_neighbours_cancel_out():
    groups = sparse.csr_array(np.array([[0.5, 0.5]], np.float32))
    assert group_vectors(groups, np.array([[1, 2], [-1, -2]], np.float32)).tolist() == [[0, 0]]


@pytest.mark.parametrize("kind", ["static", "item_item", "other"])
def test_scores_are_those_of_the_weights_when_models_are_random(tmp_path, kind):
    rng = np.random.default_rng(7)
    table = sparse.random_array((6, 6), density=0.6, rng=rng, dtype=np.float32, format="csr")
    scorers = {
        "static": static(*rng.normal(size=4)),
        "item_item": ItemItemScorer(table),
        "encoder": EncoderScorer(summing_encoder(), rng.normal(size=(6, 2)).astype(np.float32), 4),
    }

    class Other:
        def score(self, histories):
            return scorers["encoder"].score(histories)

    bundle = a_bundle(tmp_path, scorers.get(kind, scorers["encoder"]), items=full_items(KNOWN))
    bundle = replace(bundle, scorer=Other()) if kind == "other" else bundle
    newcomers = attach(bundle, full_items(NEW), version=1)
    histories = Histories.from_lists([[2], [3, 5, 4], [4, 1]])
    known = bundle.scorer.score(histories)
    known[:, :2] = 0
    found = NewcomerScores(bundle, newcomers).of(histories, None)
    np.testing.assert_allclose(found, known @ newcomers.weights.toarray().T, atol=1e-6)


def test_newcomers_are_left_out_when_seen_excluded_blocked_unsafe_or_of_another_surface(tmp_path):
    bundle = a_bundle(tmp_path, static(1, 2, 3, 4), items=full_items(KNOWN))
    new = {name: {} for name in ("seen", "excluded", "blocked", "fine")}
    new |= {"unsafe": {"safety": "blocked"}, "live": {"surface": "live"}, "video": {"surface": "video"}}
    newcomers = attach(bundle, full_items(new), version=1)
    ranker = Ranker(bundle)
    wish = {"k": 99, "exclude": ["excluded", "i0"], "surface": "video", "blocked": ["blocked", "i1"]}
    slate = ranker.recommend(["seen", "i2"], newcomers=newcomers, **wish)
    assert slate.item_ids == ("i3", "fine", "video")
    again = ranker.recommend(["seen", "i2"], newcomers=newcomers, remove_seen=False, **wish)
    assert again.item_ids == ("i3", "i2", "seen", "fine", "video")


def test_a_newcomer_in_the_history_counts_as_unknown_when_a_list_is_made(tmp_path):
    bundle = a_bundle(tmp_path, item_item(), items=full_items(KNOWN))
    newcomers = attach(bundle, full_items(NEW), version=1)
    ranker = Ranker(bundle)
    with_new = ranker.recommend(["i1", "odd", "i3"], k=3, exclude=["odd"], newcomers=newcomers)
    assert with_new == ranker.recommend(["i1", "i3"], k=3, exclude=["odd"], newcomers=newcomers)


def test_newer_newcomers_take_the_place_of_older_ones_when_the_segment_grows(bundle):
    ranker = Ranker(bundle)
    first = attach(bundle, full_items({"n0": {"category": "comedy"}}), version=1)
    second = attach(bundle, full_items({"n0": {"category": "comedy"}, "n1": {"category": "drama"}}), version=2)
    lists = [ranker.recommend([], k=9, newcomers=segment).item_ids for segment in (first, second, first, None)]
    assert [{"n0", "n1"} & {*ids} for ids in lists] == [{"n0"}, {"n0", "n1"}, {"n0"}, set()]
