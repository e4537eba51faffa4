"""A bundle with a second stage: one path for requests, evaluation and explanation, and its parts on disk."""

from dataclasses import replace

import numpy as np
import pytest

from recmodels.bundle import load_bundle, released
from recmodels.errors import BundleError, RecipeError
from recmodels.evaluation.evaluator import moments_of
from recmodels.ranker import Ask, Ranker
from recmodels.ranking.features import FeatureBuilder
from recmodels.ranking.judge import Moment
from recmodels.ranking.shown import RankingRequest
from recmodels.ranking.utility import Utility
from recmodels.recipe import parse_recipe
from recmodels.reranking.config import RerankingConfig
from recmodels.retrieval.newcomers import attach
from tests.recmodels.second_stage import RECIPE, world
from tests.recmodels.worlds import full_items, save_bundle, static

FEED = "feed"  # a surface that no item has, so that it filters nothing, and that training never saw
NOW = 1_705_000_000_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def digest(root):
    return world().write(root)


@pytest.fixture(scope="module")
def ranker(root, digest):
    return Ranker(load_bundle(root, digest))


def an_ask(row: int, *, k: int = 5, **changes) -> Ask:
    split = world().split
    histories, past = split.test.histories, slice(split.test.histories.starts[row], split.test.histories.ends[row])
    items = split.vocabulary.decode(histories.items[past]).tolist()
    return replace(Ask(items, histories.timestamps[past].tolist(), k, FEED, moment=NOW), **changes)


def test_what_is_evaluated_is_what_is_served(ranker):
    rows = np.arange(24)
    queries = world().split.test
    moments = [Moment(m.now, m.has_times, FEED) for m in moments_of(queries, rows)]
    top = ranker.top_k(queries.histories.take(rows), k=5, remove_seen=True, moments=moments)
    served = ranker.recommend_many([an_ask(row, moment=moments[row].now) for row in rows])
    assert [slate.item_ids for slate in served] == [
        tuple(ranker.bundle.vocabulary.decode(items[items > 0]).tolist()) for items in top.items
    ]
    np.testing.assert_allclose([slate.scores for slate in served], top.scores, rtol=1e-5)


def test_a_list_is_the_pool_by_utility_of_the_features_of_training(ranker):
    """The order is worked out once more from the parts: retrieval's pool, `FeatureBuilder`, network, weights."""
    ask = an_ask(3, query="comedy")
    slate = ranker.recommend_many([ask])[0]
    plain = replace(ranker.bundle, manifest=ranker.bundle.manifest.model_copy(update={"ranking": None}), ranking=None)
    pool = Ranker(plain).recommend_many([replace(ask, k=20)])[0].item_ids
    stage = ranker.bundle.ranking
    request = RankingRequest(ask.item_ids, ask.timestamps, NOW, FEED, "comedy")
    found = stage.scorer.score(FeatureBuilder(stage.state).for_request(request, pool))
    tasks = list(stage.scorer.spec.tasks)
    chances, seconds = found.probabilities.astype(float), found.watch.astype(float)
    worth = chances[:, tasks.index("clicked")] + 2 * chances[:, tasks.index("liked")]
    worth += 0.5 * seconds / (seconds + 30) - chances[:, tasks.index("hidden")]
    best = np.argsort(-worth, kind="stable")[:5]
    assert slate.item_ids == tuple(pool[place] for place in best)
    np.testing.assert_allclose(slate.scores, worth[best], rtol=1e-5)
    assert slate.item_ids != pool[:5]


def test_several_requests_are_ranked_as_each_alone(ranker):
    asks = [an_ask(0), an_ask(1, surface="video"), an_ask(2, query="x y"), Ask([], None, 3), an_ask(4, moment=None)]
    alone = [ranker.recommend_many([ask])[0] for ask in asks]
    together = ranker.recommend_many(asks)
    assert [slate.item_ids for slate in together] == [slate.item_ids for slate in alone]
    assert [len(slate.item_ids) for slate in alone] == [5, 5, 5, 3, 5]


def test_explaining_shows_what_each_head_says_and_the_utility(ranker):
    ask = an_ask(3)
    told = ranker.explain(ask)
    assert told.slate == ranker.recommend_many([ask])[0]
    assert [one.utility for one in told.predictions] == pytest.approx(told.slate.scores, rel=1e-5)
    first = told.predictions[0]
    assert tuple(first.probabilities) == ranker.bundle.ranking.scorer.spec.tasks
    worth = first.probabilities["clicked"] + 2 * first.probabilities["liked"] - first.probabilities["hidden"]
    assert first.utility == pytest.approx(worth + 0.5 * first.watch_seconds / (first.watch_seconds + 30), rel=1e-5)
    stages = {stage.name: stage for stage in told.stages}
    assert stages["ranking"].kept == stages["rank utility"].kept == 20
    assert stages["re-rank safety"].kept == 5


def test_stages_work_on_the_utility(root, digest):
    diverse = RerankingConfig.model_validate({"stages": [{"name": "caps", "config": {"creator": 1, "window": 5}}]})
    other = Ranker(load_bundle(root, released(root, digest, reranking=diverse)))
    creators = dict(zip(*(world().split.items[name].to_pylist() for name in ("item_id", "creator_id")), strict=True))
    for row in range(8):
        slate = other.recommend_many([an_ask(row)])[0]
        assert len({creators[item] for item in slate.item_ids}) == len(slate.item_ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"surface": "a surface never seen"},
        {"surface": None, "moment": None, "timestamps": None},
        {"query": "ä query " * 1250},
        {"query": ""},
        {"item_ids": ["unknown", "v000001"], "timestamps": [NOW + 1, NOW + 2]},  # later than now
        {"attributes": {"age_band": "18-24"}},
        {"moment": 0},
    ],
)
def test_strange_requests_get_full_lists_of_finite_scores(ranker, changes):
    slate = ranker.recommend_many([an_ask(1, **changes)])[0]
    assert len(slate.item_ids) == 5
    assert np.isfinite(slate.scores).all()
    assert not slate.non_finite


def test_a_new_item_is_ranked_by_its_creator_or_by_nothing(ranker):
    creator = world().split.items["creator_id"].to_pylist()[0]
    table = full_items({"known-creator": {"creator_id": creator}, "nothing-known": {}})
    newcomers = attach(ranker.bundle, table, version=1)
    slate = ranker.recommend_many([an_ask(1, k=20)], newcomers=newcomers)[0]
    assert not slate.non_finite
    told = ranker.explain(an_ask(1, k=20), newcomers=newcomers)
    assert len(told.predictions) == len(slate.item_ids) == 20
    judged = ranker._with(newcomers).reranker.judge
    size = ranker.bundle.vocabulary.size
    history = world().split.test.histories.take(np.array([1]))
    (found,) = judged.judge([np.array([size, size + 1], np.int32)], history, [Moment(NOW)])
    assert found.is_finite.all()
    assert found.utilities[0] != found.utilities[1]


def broken(ranker, **tables) -> Ranker:
    stage = ranker.bundle.ranking
    scorer = replace(stage.scorer, tables=stage.scorer.tables | tables)
    return Ranker(replace(ranker.bundle, ranking=replace(stage, scorer=scorer)))


def test_predictions_that_are_not_finite_are_flagged_and_not_shown(ranker):
    items = ranker.bundle.ranking.scorer.tables["items"].copy()
    shown = ranker.recommend_many([an_ask(3)])[0].item_ids
    items[ranker.bundle.vocabulary.encode([shown[0]])] = np.nan
    slate = broken(ranker, items=items).recommend_many([an_ask(3)])[0]
    assert slate.non_finite
    assert shown[0] not in slate.item_ids
    assert np.isfinite(slate.scores).all()


def test_a_ranker_that_fails_raises_to_the_gateway(ranker):
    with pytest.raises(IndexError):
        broken(ranker, items=np.zeros((2, 4), np.float32)).recommend_many([an_ask(3)])


def test_writing_twice_gives_one_digest_and_altering_a_file_is_found(root, digest, tmp_path):
    assert world().write(tmp_path) == digest
    manifest = load_bundle(root, digest).manifest
    own = {name for name in manifest.files if name.startswith("ranking/")}
    assert own == {
        *(f"ranking/features/{name}" for name in ("items.parquet", "numbers.safetensors", "state.json")),
        "ranking/features/vocabulary.parquet",
        *(f"ranking/network/ranker.{kind}" for kind in ("json", "onnx", "safetensors")),
    }
    with (tmp_path / digest / "ranking/features/state.json").open("a") as file:
        file.write(" ")
    with pytest.raises(BundleError, match=r"ranking/features/state.json was altered"):
        load_bundle(tmp_path, digest)


def test_nothing_about_a_person_is_in_the_bundle(root, digest):
    users = [user.encode() for user in world().tables.users["user_id"].to_pylist()]
    for path in (root / digest).rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [user for user in users if user in content]


def test_another_utility_is_another_release_with_other_lists(root, digest, ranker):
    other = released(root, digest, utility=Utility(clicked=0.0, watch=1.0))
    assert other != digest
    bundle = load_bundle(root, other)
    assert bundle.manifest.note == f"utility changed, from {digest}"
    assert bundle.manifest.recipe_digest == ranker.bundle.manifest.recipe_digest
    slates = [one.recommend_many([an_ask(3)])[0] for one in (ranker, Ranker(bundle))]
    assert slates[0].item_ids != slates[1].item_ids
    seconds = [one.watch_seconds for one in Ranker(bundle).explain(an_ask(3)).predictions]
    assert seconds == sorted(seconds, reverse=True)


def test_retrieval_has_a_say_in_the_order_and_none_in_what_a_list_tells(root, digest, ranker):
    ask = an_ask(3)
    plain = replace(ranker.bundle, manifest=ranker.bundle.manifest.model_copy(update={"ranking": None}), ranking=None)
    by_retrieval = Ranker(plain).recommend_many([ask])[0].item_ids
    worth = ranker.bundle.manifest.ranking.utility
    heeded = Ranker(load_bundle(root, released(root, digest, utility=worth.model_copy(update={"retrieval": 1000.0}))))
    slate = heeded.recommend_many([ask])[0]
    assert slate.item_ids == by_retrieval != ranker.recommend_many([ask])[0].item_ids
    told = heeded.explain(ask)
    assert [one.utility for one in told.predictions] == pytest.approx(slate.scores, rel=1e-5)
    assert max(slate.scores) < 10
    words = {stage.name: stage.words for stage in told.stages}["rank utility"]
    assert "by retrieval's own score" in words
    assert "weighed 1000" in words


def test_a_utility_is_refused_when_there_is_nothing_to_weigh(root):
    with pytest.raises(BundleError, match="has no second stage"):
        released(root, save_bundle(root, static(1, 2, 3)), utility=Utility())
    with pytest.raises(ValueError, match="every weight of the utility is 0"):
        Utility(clicked=0.0)
    with pytest.raises(ValueError, match="every weight of the utility is 0"):
        Utility(clicked=0.0, retrieval=1.0)


def test_a_bundle_has_a_second_stage_exactly_where_its_recipe_asks_for_one(tmp_path):
    with pytest.raises(BundleError, match="exactly where its recipe asks for one"):
        save_bundle(tmp_path, static(1, 2, 3), recipe=RECIPE)
    with pytest.raises(BundleError, match="exactly where its recipe asks for one"):
        save_bundle(tmp_path, static(1, 2, 3), ranking=world().stage.model)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ranking": {}, "data": {"label": "liked"}}, "data.label 'liked' says what the gateway's histories hold"),
        ({"ranking": {}, "split": {"kind": "leave_one_out"}}, "does not cut; set split.kind to 'time'"),
        ({"ranking": {"utility": {"clicked": 0}}}, "ranking.utility: every weight of the utility is 0"),
        ({"ranking": {"network": {"backbone": "dcn"}}}, "'dcn' is not known"),
        ({"ranking": {"poll": 3}}, r"ranking.poll: no such field. Did you mean 'pool'\?"),
        ({"ranking": {"pool": 0}}, "ranking.pool: Input should be greater than or equal to 1"),
    ],
)
def test_a_recipe_is_refused_when_its_ranking_is_not_valid(changes, words):
    with pytest.raises(RecipeError, match=words):
        parse_recipe({"name": "x", "model": {"name": "popularity"}, "data": {"label": "clicked"}} | changes)
