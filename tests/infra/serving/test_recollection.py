"""Exposure counts begin from what all workers showed, so that neither a restart nor another worker forgets."""

import time
from datetime import UTC, datetime

import httpx
import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from infra.database import Database
from infra.event_records import requests
from infra.events import EventStore, ServedRequest
from infra.held_accounts import HeldAccounts
from infra.rollouts import ModelReference
from infra.serving.app import create_app
from infra.serving.recollection import RecordedLists, lists_for
from infra.serving.slots import load_model
from recmodels.assignment import Arm
from recmodels.bundle import released, write_bundle
from recmodels.data.schema import ORIGIN_SYNTHETIC
from recmodels.data.vocabulary import Vocabulary
from recmodels.recipe import ModelChoice, Recipe
from recmodels.reranking.config import RerankingConfig
from tests.infra.gateway_home import ITEM_IDS, NOW, SECRET, TOKEN, Home, constant_scorer, counts, items_table, serve

EXPOSURE = {"stages": [{"name": "exposure", "config": {"strength": 5.0, "merit_power": 0.0, "memory": 10.0}}]}

HISTORY = [{"item_id": "film-10", "timestamp": 1}]


def _served(number: int, *items: str, origin: str = "event", key: str = "k") -> ServedRequest:
    ones = (1.0,) * len(items)
    return ServedRequest(
        f"q{number}", NOW, key, "video", "1", Arm.REST, items, ones, ones, 2, 0.01, user_id="u", origin=origin
    )


@pytest.fixture
def digest(home: Home) -> str:
    """Of creators `left` and `right` each has every other item; `film-29`, of `right`, scores highest."""
    table = items_table()
    names = pa.array(["left", "right"] * (len(ITEM_IDS) // 2))
    place = table.column_names.index("creator_id")
    plain = write_bundle(
        home.bundles,
        scorer=constant_scorer(),
        vocabulary=Vocabulary(np.array(ITEM_IDS)),
        items=table.set_column(place, table.schema.field(place), names),
        item_counts=counts(),
        recipe=Recipe(name="champion", model=ModelChoice(name="popularity")),
        snapshot="a-snapshot",
        trained_until=NOW,
        metrics={},
    )
    return released(home.bundles, plain, reranking=RerankingConfig.model_validate(EXPOSURE))


def test_the_newest_lists_that_people_were_shown_are_returned(database: Database) -> None:
    events = EventStore(database)
    events.append_requests(
        [_served(1, "a"), _served(2, "b", "c"), _served(3), _served(4, "d", origin=ORIGIN_SYNTHETIC), _served(5, "e")]
    )
    events.append_requests([_served(6, "f", key="fake")])
    assert events.recent_lists(9) == [["f"], ["e"], ["b", "c"], ["a"]]
    HeldAccounts(database).hold({"fake": "burst"}, by="ann", why="", now=datetime.now(UTC))
    assert events.recent_lists(2) == [["e"], ["b", "c"]]


def test_a_loaded_model_begins_from_the_lists_that_were_shown_and_not_from_its_warm_up(home: Home, digest: str) -> None:
    def first(*lists: list[str]) -> str:
        loaded = load_model(home.bundles, digest, shown=lambda limit: lists[:limit])
        return loaded.ranker.recommend(["film-10"], k=1).item_ids[0]

    assert first() == "film-29"  # nobody lacks anything before the first list
    assert first(["film-27"], ["film-25"]) == "film-28"  # `right` had it all
    assert first(["film-26"], ["film-24"]) == "film-29"
    assert first(["unheard of"]) == "film-29"


def test_what_a_worker_showed_is_known_to_the_next_one(home: Home, digest: str) -> None:
    home.rollouts.set_bootstrap_champion(ModelReference(digest, 1), now=NOW, by="a test", reason="bootstrap")
    shown = []
    for number in range(3):
        app = create_app(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
        with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
            answer = client.post("/v1/recommend", json={"user": "ann", "k": 1, "history": HISTORY}).json()
            shown.append(answer["items"][0]["item_id"])
            while _kept(home.database) <= number:
                time.sleep(0.01)
    assert shown == ["film-29", "film-28", "film-29"]


def test_nothing_is_recalled_where_the_store_cannot_be_read(home: Home) -> None:
    recorded = RecordedLists(EventStore(home.database))
    home.database.close()
    with home.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE requests")
    assert recorded.newest(9) == ()


def test_three_memories_are_read_and_no_more_than_fifty_thousand_lists() -> None:
    assert (lists_for(10), lists_for(10_000), lists_for(1e9)) == (30, 30_000, 50_000)


def _kept(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(requests)).scalar_one()
