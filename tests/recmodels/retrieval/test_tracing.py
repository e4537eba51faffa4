"""Items i0 .. i9 score 10 .. 1 for everybody."""

from dataclasses import replace

import numpy as np
import pytest

from recmodels.ranker import Ask, Ranker, Rejected
from recmodels.retrieval.coarse import CoarseScores
from recmodels.retrieval.newcomers import attach
from recmodels.scorers import EncoderScorer
from tests.recmodels.graphs import summing_encoder
from tests.recmodels.worlds import a_bundle, full_items, static

NAMES = [f"i{n}" for n in range(10)]
ROWS = {name: {} for name in NAMES} | {
    "i3": {"safety": "blocked"},
    "i4": {"surface": "live"},
    "i5": {"surface": "video", "creator_id": "ann"},
}
ASK = Ask(["i0"], None, 3, surface="video", exclude=["i1"])


@pytest.fixture
def bundle(tmp_path):
    return a_bundle(tmp_path, static(*range(10, 0, -1)), items=full_items(ROWS))


def stages(trace):
    return [(stage.name, stage.kept, stage.removed) for stage in trace.stages]


def test_every_stage_tells_what_it_took_when_each_filter_takes_one(bundle):
    trace = Ranker(bundle).explain(ASK, blocked=["i2"])
    assert stages(trace) == [
        ("catalogue", 10, 0),
        ("retrieval", 10, 0),
        ("filter seen", 9, 1),
        ("filter excluded", 8, 1),
        ("filter blocked", 7, 1),
        ("filter safety", 6, 1),
        ("filter surface", 5, 1),
        ("newcomers", 5, 0),
        ("ranking", 3, 2),
    ]
    assert trace.slate.item_ids == ("i5", "i6", "i7")
    assert trace.rejected == (
        Rejected("i0", "seen", 10.0),
        Rejected("i1", "excluded", 9.0),
        Rejected("i2", "blocked", 8.0),
        Rejected("i3", "safety", 7.0),
        Rejected("i4", "surface", 6.0),
    )


def test_the_slate_is_the_one_that_is_served_when_it_is_explained(bundle):
    ranker = Ranker(bundle)
    assert ranker.explain(ASK, blocked=["i2"]).slate == ranker.recommend_many([ASK], blocked=["i2"])[0]


def test_an_item_counts_once_at_the_first_reason_when_several_refuse_it(bundle):
    trace = Ranker(bundle).explain(Ask(["i3"], None, 2, exclude=["i3", "i4"]), blocked=["i3", "i4"])
    assert [kept for _, kept, _ in stages(trace)] == [10, 10, 9, 8, 8, 8, 8, 8, 2]
    assert [(row.item_id, row.reason) for row in trace.rejected] == []  # both score below i0 and i1


def test_seen_items_stay_when_they_are_wanted(bundle):
    trace = Ranker(bundle).explain(ASK, blocked=["i2"], remove_seen=False)
    assert stages(trace)[2] == ("filter seen", 10, 0)
    assert trace.slate.item_ids == ("i0", "i5", "i6")


def test_newcomers_join_before_the_ranking_when_there_are_some(bundle):
    new = full_items({"n0": {"creator_id": "ann"}, "n1": {"surface": "live"}, "n2": {"creator_id": "ann"}})
    trace = Ranker(bundle).explain(ASK, blocked=["n2"], newcomers=attach(bundle, new, version=1))
    kept = {stage.name: stage for stage in trace.stages}
    assert kept["newcomers"].kept == kept["filter surface"].kept + 1
    assert kept["newcomers"].words.startswith("1 of 3 ")
    assert trace.slate.item_ids == ("i2", "i5", "n0")  # n0 scores what ann's i5 scores
    new_ones = [(row.item_id, row.reason, row.score) for row in trace.rejected if row.item_id[0] == "n"]
    assert new_ones == [("n1", "surface", 5.5), ("n2", "blocked", 5.0)]


def test_stages_add_up_when_asks_are_random(bundle):
    rng = np.random.default_rng(0)
    new = attach(bundle, full_items({f"n{n}": {} for n in range(4)}), version=1)
    for _ in range(40):
        some = [tuple(rng.choice([*NAMES, "n0", "who"], rng.integers(0, 6)).tolist()) for _ in range(3)]
        ask = Ask(some[0], None, int(rng.integers(1, 15)), surface=("video", None)[rng.integers(2)], exclude=some[1])
        trace = Ranker(bundle).explain(ask, blocked=some[2], newcomers=new)
        before = None
        for stage in trace.stages:
            if before is not None and stage.name != "newcomers":
                assert stage.kept == before - stage.removed
            before = stage.kept
        assert trace.stages[-1].kept == len(trace.slate.item_ids)
        assert not {row.item_id for row in trace.rejected} & {*trace.slate.item_ids}


def test_everything_refused_is_told_up_to_fifty_when_the_list_is_short(tmp_path):
    names = [f"i{n}" for n in range(80)]
    bundle = a_bundle(tmp_path, static(*range(80, 0, -1)), items=full_items({name: {} for name in names}))
    trace = Ranker(bundle).explain(Ask(names, None, 5))
    assert trace.slate.item_ids == ()
    assert [row.item_id for row in trace.rejected] == names[:50]


def test_items_without_a_finite_score_go_at_retrieval_when_a_model_is_broken(bundle):
    broken = replace(bundle, scorer=static(np.nan, np.inf, *range(8, 0, -1)))
    trace = Ranker(broken).explain(Ask([], None, 2))
    assert stages(trace)[1] == ("retrieval", 8, 2)
    assert trace.slate.non_finite
    assert trace.slate.item_ids == ("i2", "i4")
    assert trace.rejected == (Rejected("i3", "safety", 7.0),)


def test_a_better_item_that_was_not_retrieved_is_told_when_an_index_missed_it(tmp_path):
    class Blind(CoarseScores):
        """Never finds i7."""

        def of(self, queries):
            coarse = super().of(queries)
            coarse.scores[:, 2 + 7] = -(10**9)
            return coarse

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4002, 2)).astype(np.float32)
    vectors[2 + 7] = (6, 0)
    vectors[2] = (1, 0)
    items = full_items({f"i{n}": {} for n in range(4000)})
    bundle = a_bundle(tmp_path, EncoderScorer(summing_encoder(), vectors, 3), items=items)
    blind = replace(bundle, scorer=replace(bundle.scorer, coarse=Blind(vectors)))
    ask = Ask(["i0"], None, 5)
    assert Ranker(bundle).explain(ask).slate.item_ids[0] == "i7"
    trace = Ranker(blind).explain(ask)
    assert trace.rejected == (Rejected("i7", "not retrieved", 6.0),)
    assert 5 <= trace.stages[1].kept < 300
    assert "Coarse scores" in trace.stages[1].words
