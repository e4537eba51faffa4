"""A model with a second stage over HTTP: what is answered and logged can be computed once more from the log."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import select

from infra.event_records import requests
from infra.rollouts import ModelReference
from infra.serving.app import create_app
from infra.serving.fallback import PopularItems
from infra.serving.warmup import UnfitModelError, warm_up
from recmodels.bundle import Bundle, load_bundle
from recmodels.ranker import Ranker
from recmodels.ranking.shown import RankingRequest
from recmodels.ranking.skew import LoggedList, score_skew
from tests.infra.gateway_home import NOW, SECRET, TOKEN, Home, serve
from tests.recmodels.second_stage import world

HOUR = 3_600_000_000
START = int(datetime(2024, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
HISTORY = [{"item_id": f"v{n:06d}", "timestamp": START + n * HOUR} for n in (1, 4, 9, 16)]


@pytest.fixture
def bundle(home: Home) -> Bundle:
    digest = world().write(home.bundles)
    home.rollouts.set_bootstrap_champion(ModelReference(digest, 1), now=NOW, by="a test", reason="bootstrap")
    return load_bundle(home.bundles, digest)


@pytest.fixture
def client(home: Home, bundle: Bundle) -> Iterator[httpx.Client]:
    app = create_app(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as made:
        yield made


def logged(home: Home, count: int) -> list[LoggedList]:
    """Read what the gateway wrote; histories are those that the requests had."""
    rows = []
    while len(rows) < count:
        with home.database.read() as connection:
            rows = connection.execute(select(requests)).all()
    items = [event["item_id"] for event in HISTORY]
    times = [event["timestamp"] for event in HISTORY]
    return [
        LoggedList(
            RankingRequest(items, times, row.timestamp, row.surface, row.query),
            tuple(json.loads(row.item_ids)),
            tuple(json.loads(row.scores)),
        )
        for row in rows
    ]


def test_scores_of_logged_requests_are_computed_once_more_offline(
    home: Home, bundle: Bundle, client: httpx.Client
) -> None:
    asked = [{}, {"surface": "search", "query": "comedy"}, {"surface": "never seen"}, {"query": "x" * 500}]
    for n, changes in enumerate(asked):
        answer = client.post("/v1/recommend", json={"user": f"u{n}", "k": 5, "history": HISTORY} | changes).json()
        assert not answer["is_fallback"]
        assert len(answer["items"]) == 5
    lists = logged(home, len(asked))
    found = score_skew(bundle, lists)
    assert (found.lists, found.items, found.is_skewed) == (4, 20, False)
    assert found.largest < 1e-5
    forgotten = [replace(one, request=replace(one.request, history=(), timestamps=())) for one in lists]
    assert score_skew(bundle, forgotten).differing == 4
    assert client.post("/v1/recommend", json={"user": "a", "query": "x" * 10_000}).status_code == 422


def test_explaining_tells_what_the_second_stage_expects(client: httpx.Client, home: Home) -> None:
    answer = client.post("/v1/explain", json={"user": "nobody", "k": 3}).json()
    assert answer["lists"][0]["items"][0]["prediction"] is None  # without a history no model is asked


def test_a_model_whose_ranker_fails_takes_no_traffic(bundle: Bundle) -> None:
    assert bundle.ranking is not None
    cut = {name: table[:2] for name, table in bundle.ranking.scorer.tables.items()}
    scorer = replace(bundle.ranking.scorer, tables=cut)
    spoiled = Ranker(replace(bundle, ranking=replace(bundle.ranking, scorer=scorer)))
    with pytest.raises(UnfitModelError, match="the model fails on a history"):
        warm_up(spoiled, [], popular=PopularItems.of(bundle))
