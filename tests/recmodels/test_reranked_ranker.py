"""Lists of a bundle that re-ranks: one path for requests, evaluation and explanation."""

from dataclasses import replace

import numpy as np
import pytest

from recmodels.bundle import load_bundle, released
from recmodels.data.histories import Histories
from recmodels.errors import BundleError
from recmodels.ranker import Ask, Ranker
from recmodels.recipe import RecipeError, parse_recipe
from recmodels.reranking.config import RerankingConfig
from recmodels.retrieval.newcomers import attach
from recmodels.safety import SafetyPolicy
from tests.recmodels.worlds import a_recipe, full_items, save_bundle, static

SCORES = (9.0, 8.0, 7.0, 6.0, 5.0, 4.0)  # of i0 .. i5
CREATORS = {"i0": "a", "i1": "a", "i2": "b", "i3": "b", "i4": "c", "i5": "c"}
CAPS = {"stages": [{"name": "caps", "config": {"creator": 1, "window": 3}}]}
EXPLORING = {"stages": [{"name": "exploration", "config": {"rate": 0.5, "places": [1], "cold_below": 6}}]}


def items(**changes: dict[str, str]):
    return full_items({i: {"creator_id": creator} | changes.get(i, {}) for i, creator in CREATORS.items()})


def ranker(tmp_path, reranking, *, safety=None, table=None) -> Ranker:
    recipe = a_recipe().model_copy(update={"reranking": RerankingConfig.model_validate(reranking)})
    digest = save_bundle(tmp_path, static(*SCORES), items=table or items(), recipe=recipe)
    return Ranker(load_bundle(tmp_path, digest), safety)


def test_a_request_and_the_evaluation_get_the_same_list(tmp_path):
    capped = ranker(tmp_path, CAPS)
    slate = capped.recommend([], k=3)
    assert slate.item_ids == ("i0", "i2", "i4")
    assert slate.scores == (9.0, 7.0, 5.0)
    assert slate.propensities == (1.0, 1.0, 1.0)
    top = capped.top_k(Histories.from_lists([[], [2]]), k=3, remove_seen=True)
    assert top.items.tolist() == [[2, 4, 6], [3, 4, 6]]
    assert top.scores.tolist() == [[9.0, 7.0, 5.0], [8.0, 7.0, 5.0]]


def test_no_candidate_beyond_the_pool_is_shown(tmp_path):
    few = ranker(tmp_path, CAPS | {"pool": 4})
    assert few.recommend([], k=3).item_ids == ("i0", "i2", "i1")  # i4 would come third


def test_a_list_is_short_where_the_catalogue_ends(tmp_path):
    slate = ranker(tmp_path, CAPS).recommend(["i0", "i1", "i2", "i3"], k=5)
    assert slate.item_ids == ("i4", "i5")


def test_cold_items_are_drawn_by_the_seed_and_logged_with_their_probability(tmp_path):
    """Counts are 2 to 7, so that i0 to i3 are cold: of those, i2 and i3 stand outside of a list of two."""
    exploring = ranker(tmp_path, EXPLORING)
    slates = exploring.recommend_many([Ask([], None, 2, seed=seed) for seed in range(200)])
    assert {slate.item_ids for slate in slates} == {("i0", "i1"), ("i0", "i2"), ("i0", "i3")}
    assert {slate.propensities for slate in slates if slate.item_ids == ("i0", "i1")} == {(1.0, 0.5)}
    assert {slate.propensities for slate in slates if slate.item_ids != ("i0", "i1")} == {(1.0, 0.25)}
    assert exploring.recommend_many([Ask([], None, 2, seed=7)])[0] == slates[7]


def test_cold_items_beyond_the_pool_can_be_drawn(tmp_path):
    narrow = ranker(tmp_path, EXPLORING | {"pool": 1})
    found = {item for seed in range(100) for item in narrow.recommend_many([Ask([], None, 2, seed=seed)])[0].item_ids}
    assert found == {"i0", "i1", "i2", "i3"}


def test_newcomers_are_re_ranked_and_explored_like_the_others(tmp_path):
    exploring = ranker(tmp_path, EXPLORING)
    newcomers = attach(exploring.bundle, full_items({"n": {"creator_id": "c"}}), version=1)
    slates = [exploring.recommend_many([Ask([], None, 2, seed=seed)], newcomers=newcomers)[0] for seed in range(60)]
    assert {slate.item_ids[1] for slate in slates} == {"i1", "i2", "i3", "n"}
    assert all(slate.has_newcomers == ("n" in slate.item_ids) for slate in slates)


def test_what_creators_were_shown_stays_known_when_newcomers_join_and_when_it_is_recalled(tmp_path):
    """Creators a, b, c are due a third each; the newcomer's, d, is due a fourth with them and lowest by score."""
    fair = {"stages": [{"name": "exposure", "config": {"strength": 5.0, "merit_power": 0.0}}]}
    shown = ranker(tmp_path, fair)
    assert shown.exposure_memory == 10_000
    assert [shown.recommend([], k=1).item_ids for _ in range(3)] == [("i0",), ("i2",), ("i4",)]
    shown.recall([["i0", "i2"], ["gone"]])
    newcomers = attach(shown.bundle, full_items({"n": {"creator_id": "d"}}), version=1)
    first, second = (shown.recommend([], k=1, newcomers=newcomers).item_ids for _ in range(2))
    assert {first, second} == {("i4",), ("n",)}  # the two who had nothing
    grown = attach(shown.bundle, full_items({"n": {"creator_id": "d"}, "m": {"creator_id": "e"}}), version=2)
    third = {shown.recommend([], k=1, newcomers=grown).item_ids[0] for _ in range(2)}
    assert third <= {"n", "m"}  # counts of creators of newcomers begin anew, those of the bundle do not
    shown.recall([])
    assert shown.recommend([], k=1).item_ids == ("i0",)
    assert ranker(tmp_path, CAPS).exposure_memory == 0


def test_explaining_tells_the_effect_of_each_stage(tmp_path):
    trace = ranker(tmp_path, CAPS).explain(Ask([], None, 3))
    assert trace.slate.item_ids == ("i0", "i2", "i4")
    told = [(stage.name, stage.kept, stage.removed, stage.words) for stage in trace.stages[-3:]]
    assert told == [
        ("ranking", 6, 0, "The best 6 by score are the candidates."),
        ("re-rank caps", 6, 0, "2 of the first 3 places changed, 1 items came in."),
        ("re-rank safety", 3, 3, "The first of them, after a last look at labels, surface, age and takedowns."),
    ]
    assert [(one.item_id, one.reason) for one in trace.rejected] == [("i1", "re-ranked"), ("i3", "re-ranked")]


def test_another_release_of_the_same_model_has_its_own_digest_and_its_own_lists(tmp_path):
    plain = save_bundle(tmp_path, static(*SCORES), items=items())
    assert Ranker(load_bundle(tmp_path, plain)).recommend([], k=3).item_ids == ("i0", "i1", "i2")
    digest = released(tmp_path, plain, reranking=RerankingConfig.model_validate(CAPS))
    capped = load_bundle(tmp_path, digest)
    assert digest != plain
    assert capped.manifest.recipe_digest == load_bundle(tmp_path, plain).manifest.recipe_digest
    assert Ranker(capped).recommend([], k=3).item_ids == ("i0", "i2", "i4")
    assert released(tmp_path, plain, reranking=RerankingConfig.model_validate(CAPS)) == digest
    with pytest.raises(BundleError, match="is not in"):
        released(tmp_path, "0" * 64, reranking=RerankingConfig())


LABELLED = {"i0": {"safety": "blocked"}, "i1": {"safety": "restricted"}, "i2": {"safety": "unlabelled"}}


@pytest.mark.parametrize("reranking", [{}, CAPS, EXPLORING])
@pytest.mark.parametrize(
    ("policy", "surface", "age", "hidden"),
    [
        ({}, "video", None, {"i0"}),
        ({"shows_unlabelled": False}, "video", None, {"i0", "i2"}),
        ({"restricted_minimum_age": 18}, "video", 18.0, {"i0"}),
        ({"restricted_minimum_age": 18}, "video", 17.5, {"i0", "i1"}),
        ({"restricted_minimum_age": 18}, "video", None, {"i0", "i1"}),
        ({"restricted_surfaces": ["live"]}, "live", None, {"i0"}),
        ({"restricted_surfaces": ["live"]}, "video", 40.0, {"i0", "i1"}),
        ({"restricted_surfaces": ["live"], "restricted_minimum_age": 18}, "live", None, {"i0", "i1"}),
        ({"restricted_surfaces": []}, None, 40.0, {"i0", "i1"}),
    ],
)
def test_labels_hold_for_surface_and_age_with_and_without_re_ranking(tmp_path, reranking, policy, surface, age, hidden):
    safe = ranker(tmp_path, reranking, safety=SafetyPolicy.model_validate(policy), table=items(**LABELLED))
    for seed in range(8):
        slate = safe.recommend_many([Ask([], None, 6, surface, age=age, seed=seed)])[0]
        assert set(slate.item_ids) == set(CREATORS) - hidden


def test_takedowns_hold_for_what_is_drawn(tmp_path):
    exploring = ranker(tmp_path, EXPLORING)
    slates = [exploring.recommend_many([Ask([], None, 2, seed=s)], blocked=["i2"])[0] for s in range(60)]
    assert {slate.item_ids[1] for slate in slates} == {"i1", "i3"}


def test_the_safety_filter_cannot_be_chosen_or_left_out_by_a_recipe():
    recipe = {"name": "x", "model": {"name": "popularity"}}
    with pytest.raises(RecipeError, match="the safety filter is no stage to choose: it always comes last"):
        parse_recipe(recipe | {"reranking": {"stages": [{"name": "safety"}]}})
    with pytest.raises(RecipeError, match=r"reranking.safety: no such field"):
        parse_recipe(recipe | {"reranking": {"safety": {"shows_unlabelled": True}}})


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([{"name": "mrr"}], r"re-ranking stage 'mrr' is not known. Did you mean 'mmr'\?"),
        ([{"name": "mmr"}, {"name": "mmr"}], "mmr stands there twice"),
        ([{"name": "exploration"}, {"name": "mmr"}], "exploration must be the last one"),
        ([{"name": "mmr", "config": {"strength": 2}}], "strength: Input should be less than or equal to 1, got 2"),
        ([{"name": "mmr", "weight": 2}], r"reranking.stages.0.weight: no such field. Known: config, name"),
    ],
)
def test_a_recipe_is_refused_when_its_stages_are_not_valid(stages, words):
    with pytest.raises(RecipeError, match=words):
        parse_recipe({"name": "x", "model": {"name": "popularity"}, "reranking": {"stages": stages}})


def test_a_score_that_is_not_finite_is_flagged_and_not_shown(tmp_path):
    bundle = ranker(tmp_path, CAPS).bundle
    slate = Ranker(replace(bundle, scorer=static(9, np.nan, 7, 6, 5, 4))).recommend([], k=3)
    assert slate.non_finite
    assert slate.item_ids == ("i0", "i2", "i4")
