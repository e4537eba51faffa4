"""A release that explores, over HTTP: what is answered, what is logged, and the same list once more."""

import json
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import select

from infra.event_records import requests
from infra.rollouts import ModelReference
from infra.serving.app import create_app
from infra.serving.fallback import PopularItems
from infra.serving.gateway import age_of, seed_of
from infra.serving.schemas import RecommendRequest
from recmodels.bundle import load_bundle, released
from recmodels.ranker import Ranker
from recmodels.reranking.config import RerankingConfig
from recmodels.safety import SafetyPolicy
from recmodels.slates import Ask
from tests.infra.gateway_home import NOW, SECRET, TOKEN, Home, constant_scorer, serve, write
from tests.recmodels.worlds import full_items, save_bundle, static

EXPLORING = {"rate": 0.5, "places": [1], "cold_below": 9, "candidates": 4}
HISTORY = [{"item_id": "film-10", "timestamp": 1}]


@pytest.fixture
def digest(home: Home) -> str:
    """The champion prefers the last items, which are the cold ones; film-29 to film-22 were consumed 1 to 8 times."""
    plain = write(home.bundles, constant_scorer(), name="champion")
    stages = {"stages": [{"name": "exploration", "config": EXPLORING}]}
    diverse = released(home.bundles, plain, reranking=RerankingConfig.model_validate(stages))
    home.rollouts.set_bootstrap_champion(ModelReference(diverse, 1), now=NOW, by="a test", reason="bootstrap")
    return diverse


@pytest.fixture
def exploring(home: Home, digest: str) -> Iterator[httpx.Client]:
    app = create_app(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as made:
        yield made


def test_propensities_are_answered_and_can_be_drawn_again(home: Home, digest: str, exploring: httpx.Client) -> None:
    answers = [
        exploring.post("/v1/recommend", json={"user": "ann", "k": 3, "history": HISTORY}).json() for _ in range(30)
    ]
    ranker = Ranker(load_bundle(home.bundles, digest))
    for answer in answers:
        seed = seed_of(answer["request_id"])
        slate = ranker.recommend_many([Ask(["film-10"], [1], 3, "video", seed=seed)])[0]
        assert tuple(item["item_id"] for item in answer["items"]) == slate.item_ids
        assert tuple(item["propensity"] for item in answer["items"]) == slate.propensities
    assert {answer["items"][1]["propensity"] for answer in answers} == {0.5, 0.125}


def test_what_was_drawn_stands_in_the_log(home: Home, exploring: httpx.Client) -> None:
    answer = exploring.post("/v1/recommend", json={"user": "ann", "k": 3, "history": HISTORY}).json()
    logged = None
    while logged is None:
        with home.database.read() as connection:
            logged = connection.execute(select(requests.c.propensities)).scalar()
    assert json.loads(logged) == [item["propensity"] for item in answer["items"]]


def test_popular_items_hold_only_what_everybody_may_see(tmp_path) -> None:
    labels = ("restricted", "ok", "unlabelled", "blocked")
    table = full_items({f"i{n}": {"safety": label} for n, label in enumerate(labels)})
    bundle = load_bundle(tmp_path, save_bundle(tmp_path, static(1, 2, 3, 4), items=table))
    shown = {
        "as the platform comes": PopularItems.of(bundle),
        "with an age": PopularItems.of(bundle, SafetyPolicy(restricted_minimum_age=18)),
        "closed": PopularItems.of(bundle, SafetyPolicy(restricted_surfaces=(), shows_unlabelled=False)),
    }
    assert {name: set(one.item_ids) for name, one in shown.items()} == {
        "as the platform comes": {"i0", "i1", "i2"},
        "with an age": {"i1", "i2"},
        "closed": {"i1"},
    }


@pytest.mark.parametrize(
    ("context", "age"),
    [({"age": 18}, 18.0), ({"age": 17.5}, 17.5), ({}, None), ({"age": "40"}, None), ({"age": True}, None)],
)
def test_the_age_of_who_asks_is_a_number_in_the_context(context, age) -> None:
    assert age_of(RecommendRequest("ann", context=context)) == age
