"""Every search gives the lists that sorting gives. Vectors are small whole numbers, so that sums are exact."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.ranker import Ask, Ranker
from recmodels.retrieval import search
from recmodels.retrieval.catalogue import Catalogue
from recmodels.retrieval.coarse import CoarseScores
from recmodels.retrieval.config import RetrievalConfig
from recmodels.retrieval.graph import ItemGraph
from recmodels.retrieval.newcomers import attach
from recmodels.retrieval.wish import read_asks
from recmodels.scorers import EncoderScorer
from tests.recmodels.graphs import summing_encoder
from tests.recmodels.worlds import a_bundle, full_items

ITEMS = 3000
SIZE = 6
NAMES = [f"i{n}" for n in range(ITEMS)]
CREATORS = 40


def a_surface(n):
    return {"surface": ("video", "live")[n % 5 == 0]} if n % 7 else {}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    rng = np.random.default_rng(0)
    vectors = rng.integers(-8, 9, size=(ITEMS + 2, SIZE)).astype(np.float32)
    rows = {
        name: {"creator_id": f"c{n % CREATORS}", "safety": "blocked" if n % 50 == 3 else "ok"} | a_surface(n)
        for n, name in enumerate(NAMES)
    }
    return a_bundle(
        tmp_path_factory.mktemp("b"), EncoderScorer(summing_encoder(SIZE), vectors, 20), items=full_items(rows)
    )


def with_search(bundle, kind):
    scorer = bundle.scorer
    assert isinstance(scorer, EncoderScorer)
    vectors = scorer.item_vectors
    if kind in {"coarse", "graph"}:
        scorer = replace(scorer, coarse=CoarseScores(vectors))
    if kind == "graph":
        thorough = RetrievalConfig(hnsw_m=16, ef_construction=100, ef_search=2000)
        scorer = replace(scorer, graph=ItemGraph.build(vectors[2:], thorough))
    return replace(bundle, scorer=scorer)


@pytest.fixture(scope="module", params=["all", "coarse", "graph"])
def ranker(request, bundle) -> Ranker:
    return Ranker(with_search(bundle, request.param))


@dataclass(frozen=True)
class Sorted:
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]


def by_sorting(bundle, ask, *, blocked=(), new=None, remove_seen=True) -> Sorted:
    """The list that a person would make: every score, every filter, one sort."""
    scorer, index = bundle.scorer, bundle.vocabulary.encode
    times = ask.timestamps if ask.timestamps is not None else range(len(ask.item_ids))
    history = [item for _, item in sorted(zip(times, ask.item_ids, strict=True), key=lambda event: event[0])]
    known = [number for number in index(history).tolist() if number > 1][-scorer.max_length :]
    vectors = scorer.item_vectors
    query = vectors[known].sum(axis=0) if known else np.zeros(SIZE, np.float32)
    rows = list(zip(bundle.items.to_pylist(), (vectors[2:] @ query).tolist(), strict=True))
    for item in new.to_pylist() if new is not None else []:
        first = int(item["creator_id"].removeprefix("c"))  # its items are every fortieth from there on
        rows.append((item, float(vectors[2 + first :: CREATORS].mean(axis=0) @ query)))
    left_out = {*blocked, *ask.exclude, *(ask.item_ids if remove_seen else ())}
    surfaces = {row["surface"] for row, _ in rows} - {None}
    kept = [
        (row["item_id"], score)
        for row, score in rows
        if row["safety"] != "blocked"
        and row["item_id"] not in left_out
        and (ask.surface not in surfaces or row["surface"] in {None, ask.surface})
    ]
    best = sorted(kept, key=lambda row: -row[1])[: ask.k]  # stable: ties stay in the order of items
    return Sorted(tuple(name for name, _ in best), tuple(score for _, score in best))


def some_asks(seed, count):
    rng = np.random.default_rng(seed)
    asks = []
    for _ in range(count):
        length = int(rng.integers(0, 30))
        history = [*rng.choice(NAMES, length).tolist(), *(["never-heard-of"] if rng.random() < 0.3 else [])]
        asks.append(
            Ask(
                item_ids=history,
                timestamps=None if rng.random() < 0.3 else rng.permutation(len(history)).tolist(),
                k=int(rng.integers(1, 12)),
                surface=(None, "video", "live", "search")[rng.integers(4)],
                exclude=tuple(rng.choice(NAMES, rng.integers(0, 8)).tolist()),
            )
        )
    return asks


def agree(slate, expected):
    assert slate.scores == pytest.approx(expected.scores, abs=1e-4)
    return slate.item_ids == expected.item_ids


@pytest.mark.parametrize("remove_seen", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_lists_are_those_of_sorting_everything_when_asks_are_random(ranker, seed, remove_seen):
    asks = some_asks(seed, 25)
    blocked = frozenset(NAMES[seed::9])
    slates = ranker.recommend_many(asks, blocked=blocked, remove_seen=remove_seen)
    for ask, slate in zip(asks, slates, strict=True):
        assert agree(slate, by_sorting(ranker.bundle, ask, blocked=blocked, remove_seen=remove_seen)), ask
        assert not slate.non_finite


def test_newcomers_stand_where_sorting_puts_them_when_asks_are_random(ranker):
    new = full_items({f"n{n}": {"creator_id": f"c{n}"} | a_surface(n + 3) for n in range(CREATORS)})
    newcomers = attach(ranker.bundle, new, version=1)
    asks = some_asks(9, 25)
    slates = ranker.recommend_many(asks, blocked=("n3",), newcomers=newcomers)
    for ask, slate in zip(asks, slates, strict=True):
        expected = by_sorting(ranker.bundle, ask, blocked=("n3",), new=new)
        assert agree(slate, expected), ask
        assert slate.has_newcomers == any(name.startswith("n") for name in expected.item_ids)


def test_a_list_is_the_same_alone_and_in_a_batch_when_asks_are_random(ranker):
    asks = some_asks(5, 30)
    together = ranker.recommend_many(asks, blocked=("i1",))
    alone = [
        ranker.recommend(a.item_ids, a.timestamps, k=a.k, surface=a.surface, exclude=a.exclude, blocked=("i1",))
        for a in asks
    ]
    assert together == alone


def test_the_evaluator_gets_the_lists_that_are_served_when_histories_are_random(ranker):
    asks = [replace(ask, k=7, surface=None, exclude=(), timestamps=None) for ask in some_asks(6, 30)]
    encoded = [ranker.bundle.vocabulary.encode(list(ask.item_ids)).tolist() for ask in asks]
    top = ranker.top_k(Histories.from_lists(encoded), k=7, remove_seen=True)
    for row, slate in enumerate(ranker.recommend_many(asks)):
        assert ranker.bundle.vocabulary.decode(top.items[row]).tolist() == [*slate.item_ids]
        assert top.scores[row].tolist() == [*slate.scores]


def test_nothing_is_answered_when_nothing_is_asked(ranker):
    assert ranker.recommend_many([]) == []


def found_by(bundle, which, ask, **options):
    """What one search alone finds for an ask."""
    numbers = read_asks([ask], Catalogue.of(bundle), blocked=options.get("blocked", ()), remove_seen=True)
    return which(bundle.scorer, numbers, bundle.scorer.queries(numbers.histories))


def test_a_list_is_made_from_all_items_when_filters_leave_the_graph_too_few(bundle):
    wide = with_search(bundle, "graph")
    query = wide.scorer.item_vectors[2]
    best = np.argsort(-(wide.scorer.item_vectors[2:] @ query), kind="stable")
    ask = Ask(["i0"], None, 10)
    blocked = frozenset(NAMES[n] for n in best[:200].tolist())  # far more than the graph is asked for
    found = found_by(wide, search.from_graph, ask, blocked=blocked)
    assert found.is_doubtful.tolist() == [True]
    assert (found.items == 0).all()
    slate = Ranker(wide).recommend(["i0"], k=10, blocked=blocked)
    assert len(slate.item_ids) == 10
    assert agree(slate, by_sorting(wide, ask, blocked=blocked))


def test_the_graph_is_not_asked_when_most_items_are_hidden_or_the_list_is_long(bundle):
    wide = with_search(bundle, "graph")
    assert found_by(wide, search.from_graph, Ask(["i0"], None, 10)) is not None
    assert found_by(wide, search.from_graph, Ask(["i0"], None, 10), blocked=NAMES[:1600]) is None
    assert found_by(wide, search.from_graph, Ask(["i0"], None, 140)) is None
    assert found_by(bundle, search.from_graph, Ask(["i0"], None, 10)) is None


def test_a_list_is_in_doubt_when_scores_are_too_close_to_tell(bundle):
    direction = np.array([1, 0.77, 0.33, -0.51, 0.13, 0.9], np.float32)
    vectors = direction * (1 + np.arange(ITEMS + 2, dtype=np.float32) * 1e-5)[:, None]
    scorer = EncoderScorer(summing_encoder(SIZE), vectors, 5, coarse=CoarseScores(vectors))
    close = replace(bundle, scorer=scorer)
    assert found_by(close, search.from_coarse, Ask(["i9"], None, 3)).is_doubtful.tolist() == [True]
    slate = Ranker(close).recommend(["i9"], k=3)
    assert slate.item_ids == ("i2999", "i2998", "i2997")


def test_a_short_list_is_certain_when_all_that_may_be_shown_was_scored(bundle):
    quick = with_search(bundle, "coarse")
    few = Ask(["i0"], None, 10)
    found = found_by(quick, search.from_coarse, few, blocked=NAMES[4:])
    assert found.is_doubtful.tolist() == [False]
    assert (found.items[0] > 0).sum() == 2  # i1 and i2: i0 is seen, i3 unsafe
    assert len(Ranker(quick).recommend(["i0"], k=10, blocked=NAMES[4:]).item_ids) == 2


@pytest.mark.parametrize("kind", ["all", "coarse", "graph"])
def test_a_broken_encoder_is_flagged_for_its_rows_alone_when_a_batch_is_ranked(bundle, kind):
    class Sometimes(EncoderScorer):
        def queries(self, histories):
            queries = super().queries(histories)
            queries[histories.lengths == 2] = np.nan
            return queries

    good = with_search(bundle, kind).scorer
    broken = Sometimes(good.encoder, good.item_vectors, good.max_length, good.graph, good.coarse)
    ranker = Ranker(replace(bundle, scorer=broken))
    asks = [Ask(["i0"], None, 4), Ask(["i0", "i2"], None, 4), Ask(["i4"], None, 4)]
    slates = ranker.recommend_many(asks)
    assert [slate.non_finite for slate in slates] == [False, True, False]
    assert slates[1].item_ids == ()
    for number in (0, 2):
        assert agree(slates[number], by_sorting(bundle, asks[number]))
