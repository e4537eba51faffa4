from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.ranker import Ranker, rank
from recmodels.retrieval import scoring
from recmodels.scorers import EncoderScorer, ItemItemScorer
from tests.recmodels.graphs import timed_encoder
from tests.recmodels.worlds import a_bundle, a_vocabulary, an_items_table, static

SCORES = (5.0, 4.0, 4.0, 3.0, 1.0)  # of i0 .. i4, which have the indices 2 .. 6


@pytest.fixture
def ranker(tmp_path):
    return Ranker(a_bundle(tmp_path, static(*SCORES)))


def test_recommend_orders_by_score_then_index_when_scores_tie(ranker):
    slate = ranker.recommend([], k=4)
    assert slate.item_ids == ("i0", "i1", "i2", "i3")
    assert slate.scores == (5.0, 4.0, 4.0, 3.0)
    assert slate.propensities == (1.0, 1.0, 1.0, 1.0)
    assert not slate.non_finite


def test_recommend_leaves_out_the_history_when_seen_items_are_removed(ranker):
    assert ranker.recommend(["i0", "i2"], k=2).item_ids == ("i1", "i3")
    assert ranker.recommend(["i0", "i2"], k=2, remove_seen=False).item_ids == ("i0", "i1")


def test_recommend_leaves_out_excluded_and_blocked_ids_when_given(ranker):
    assert ranker.recommend([], k=3, exclude={"i0"}, blocked=["i2", "unheard-of"]).item_ids == ("i1", "i3", "i4")
    assert ranker.recommend([], k=3).item_ids == ("i0", "i1", "i2")  # the call before left no trace


def test_recommend_reads_the_times_of_the_history_when_the_model_does(tmp_path):
    """A graph that weighs a first event by its age less 10 s, a last one by -10: above 20 s, larger vectors win."""
    vectors = np.arange(7, dtype=np.float32)[:, None]
    ranker = Ranker(a_bundle(tmp_path, EncoderScorer(timed_encoder(1), vectors, max_length=2)))
    assert ranker.recommend(["i0", "i0"], [0, 21_000_000], k=1).item_ids == ("i4",)
    assert ranker.recommend(["i0", "i0"], [0, 19_000_000], k=1).item_ids == ("i1",)
    at_once = ranker.recommend(["i0", "i0"], [5, 5], k=4)
    without = ranker.recommend(["i0", "i0"], k=4)  # as if at once, to the microsecond
    assert without.item_ids == at_once.item_ids
    assert without.scores == pytest.approx(at_once.scores)


def test_recommend_gives_a_short_slate_when_the_catalogue_is_smaller(ranker):
    assert ranker.recommend(["i0", "i1", "i2"], k=50).item_ids == ("i3", "i4")


def test_recommend_gives_an_empty_slate_when_everything_is_left_out(ranker):
    slate = ranker.recommend([], k=3, exclude=["i0", "i1", "i2", "i3", "i4"])
    assert (slate.item_ids, slate.scores, slate.propensities) == ((), (), ())


def test_blocked_items_are_never_shown_when_the_bundle_marks_them(tmp_path):
    items = an_items_table(a_vocabulary(5), blocked=("i0", "i3"))
    ranker = Ranker(a_bundle(tmp_path, static(*SCORES), items=items))
    assert ranker.recommend([], k=5).item_ids == ("i1", "i2", "i4")
    assert ranker.top_k(Histories.from_lists([[]]), k=5, remove_seen=False).items.tolist() == [[3, 4, 6, 0, 0]]


def test_items_of_other_surfaces_are_left_out_when_a_surface_is_asked_for(tmp_path):
    items = an_items_table(a_vocabulary(5), surfaces={"i0": "live", "i1": "video", "i4": "live"})
    ranker = Ranker(a_bundle(tmp_path, static(*SCORES), items=items))
    assert ranker.recommend([], k=5, surface="live").item_ids == ("i0", "i2", "i3", "i4")
    assert ranker.recommend([], k=5, surface="video").item_ids == ("i1", "i2", "i3")


def test_nothing_is_left_out_when_no_item_has_the_surface(ranker):
    assert len(ranker.recommend([], k=5, surface="search").item_ids) == 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_items_without_a_finite_score_are_flagged_and_left_out_when_scores_are_broken(tmp_path, bad):
    bundle = a_bundle(tmp_path, static(1, 2, 3))
    ranker = Ranker(replace(bundle, scorer=static(1, bad, 3)))  # no file holds such a score: loading refuses it
    slate = ranker.recommend([], k=3)
    assert slate.non_finite
    assert slate.item_ids == ("i2", "i0")


def test_only_the_broken_row_is_flagged_when_others_are_finite():
    scores = np.array([[0, 0, 1, 2], [0, 0, np.nan, 2]], dtype=np.float32)
    top = rank(scores, k=1, seen=None, allowed=np.ones(4, dtype=np.bool_))
    assert top.non_finite.tolist() == [False, True]
    assert top.items.tolist() == [[3], [3]]


def test_special_entries_are_not_judged_when_they_are_not_finite():
    top = rank(np.array([[-np.inf, np.nan, 1]], np.float32), k=2, seen=None, allowed=np.ones(3, dtype=np.bool_))
    assert not top.non_finite[0]
    assert top.items.tolist() == [[2, 0]]
    assert top.scores.tolist() == [[1, -np.inf]]


@pytest.mark.parametrize("k", [0, -1])
def test_ranking_is_refused_when_k_is_below_one(ranker, k):
    with pytest.raises(ValueError, match=f"k is {k}; ask for at least 1"):
        ranker.recommend([], k=k)
    with pytest.raises(ValueError, match=f"k is {k}"):
        ranker.top_k(Histories.from_lists([[2]]), k=k, remove_seen=True)


def follow_the_last(count):
    """Item n speaks for item n + 1 alone, and only the last event counts."""
    table = sparse.diags_array(np.ones(count + 1, dtype=np.float32), offsets=1, shape=(count + 2, count + 2)).tolil()
    table[0], table[1] = 0, 0
    return ItemItemScorer(table.tocsr().astype(np.float32), history_length=1)


def test_recommend_puts_the_history_in_order_when_timestamps_are_given(tmp_path):
    ranker = Ranker(a_bundle(tmp_path, follow_the_last(6)))
    assert ranker.recommend(["i0", "i3"], k=1).item_ids == ("i4",)
    assert ranker.recommend(["i0", "i3"], [200, 100], k=1).item_ids == ("i1",)


def test_recommend_is_refused_when_timestamps_do_not_fit_the_history(ranker):
    with pytest.raises(ValueError, match="2 items and 1 timestamps"):
        ranker.recommend(["i0", "i1"], [1], k=1)


def test_unknown_ids_change_nothing_when_they_stand_in_the_history(ranker):
    assert ranker.recommend(["nope", "i0", "never"], k=2) == ranker.recommend(["i0"], k=2)


def test_recommend_and_top_k_agree_when_asked_the_same(tmp_path):
    ranker = Ranker(a_bundle(tmp_path, follow_the_last(6)))
    lists = [["i0", "i5"], [], ["i2"], ["i1", "i2", "i3"]]
    encode = ranker.bundle.vocabulary.encode
    top = ranker.top_k(Histories.from_lists([encode(row).tolist() for row in lists]), k=4, remove_seen=True)
    for row, ids in enumerate(lists):
        slate = ranker.recommend(ids, k=4)
        shown = top.items[row][top.items[row] > 0]
        assert tuple(ranker.bundle.vocabulary.decode(shown).tolist()) == slate.item_ids
        assert tuple(top.scores[row][: len(shown)].tolist()) == slate.scores


def test_lists_do_not_depend_on_chunks_when_histories_are_many(tmp_path, monkeypatch):
    ranker = Ranker(a_bundle(tmp_path, follow_the_last(6)))
    histories = Histories.from_lists([[2 + n % 6] for n in range(23)])
    whole = ranker.top_k(histories, k=3, remove_seen=True)
    monkeypatch.setattr(scoring, "_CHUNK_BYTES", 8 * 8 * 4)  # four histories a chunk
    parts = ranker.top_k(histories, k=3, remove_seen=True)
    np.testing.assert_array_equal(parts.items, whole.items)
    np.testing.assert_array_equal(parts.scores, whole.scores)
    assert parts.non_finite.shape == (23,)


def test_no_list_is_made_when_there_is_no_history(ranker):
    top = ranker.top_k(Histories.from_lists([]), k=3, remove_seen=True)
    assert (top.items.shape, top.scores.shape, top.non_finite.shape) == ((0, 3), (0, 3), (0,))


@given(
    scores=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.nan, np.inf]), min_size=3, max_size=12),
    seen=st.lists(st.integers(2, 4), max_size=3),
    k=st.integers(1, 14),
)
def test_a_list_is_what_sorting_gives_when_scores_are_arbitrary(scores, seen, k):
    size = len(scores) + 2
    allowed = np.ones(size, dtype=np.bool_)
    allowed[size - 1] = False
    row = np.array([[9, 9, *scores]], dtype=np.float32)
    candidates = [n for n in range(2, size - 1) if np.isfinite(row[0, n]) and n not in seen]
    expected = sorted(candidates, key=lambda n: (-row[0, n], n))[:k]
    top = rank(row.copy(), k=k, seen=Histories.from_lists([seen]), allowed=allowed)
    assert top.items[0].tolist() == expected + [0] * (k - len(expected))


@pytest.mark.parametrize("history", [[], ["unheard-of"]])
def test_popular_items_are_answered_when_no_item_of_the_history_is_known(tmp_path, history):
    counts = np.array([0, 0, 1, 9, 3, 9, 2])
    ranker = Ranker(replace(a_bundle(tmp_path, follow_the_last(5)), item_counts=counts))
    slate = ranker.recommend(history, k=4)
    assert slate.item_ids == ("i1", "i3", "i2", "i4")
    assert slate.scores == (9.0, 9.0, 3.0, 2.0)
    assert slate.is_popular
    assert not ranker.recommend(["i0"], k=4).is_popular
