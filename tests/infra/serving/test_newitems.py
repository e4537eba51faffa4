"""Items that no model was trained on: sent, served within seconds, logged with the segment's version, and blocked."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow as pa
import pytest
from sqlalchemy import select

from infra.event_records import requests
from infra.segments import SegmentStore
from recmodels.data.schema import ITEMS
from tests.infra.gateway_home import NOW, TOKEN, Home, constant_scorer

AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}


def wait_for(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def send(client: httpx.Client, *items: dict[str, Any], **headers: str) -> httpx.Response:
    return client.post("/v1/admin/items", json={"items": list(items)}, headers=headers or AUTHORISED)


def ask(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    given = {"user": "ann", "history": [{"item_id": "film-10", "timestamp": 0}], "k": 200, **fields}
    response = client.post("/v1/recommend", json=given)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def version_of(client: httpx.Client) -> int:
    version: int = client.get("/v1/status").json()["segment_version"]
    return version


def segment_versions(home: Home, answer: dict[str, Any]) -> list[int | None]:
    query = select(requests.c.segment_version).where(requests.c.request_id == answer["request_id"])
    with home.database.read() as connection:
        return list(connection.execute(query).scalars())


def test_a_new_item_is_served_within_seconds_and_logged_with_its_segment(home: Home, served: httpx.Client) -> None:
    before = ask(served, k=3)

    response = send(served, {"item_id": "new-1", "creator_id": "someone", "category": "drama", "text": "A title"})

    assert (response.status_code, response.json()) == (200, {"segment_version": 1})
    wait_for(lambda: "new-1" in ids(ask(served, k=3)))
    with_it, without = ask(served, k=3), ask(served, k=1)
    assert ids(with_it)[:2] == ["film-11", "new-1"]  # the mean of its creator's items is above the zeros of most
    wait_for(lambda: bool(segment_versions(home, without)))
    assert [segment_versions(home, answer) for answer in (before, with_it, without)] == [[None], [1], [None]]
    assert version_of(served) == 1
    event = {"event_id": "e", "request_id": with_it["request_id"], "item_id": "new-1", "kind": "clicked"}
    assert served.post("/v1/feedback", json={"events": [event]}).json()["accepted"] == 1


def test_newcomers_join_every_model(home: Home, rolling: httpx.Client) -> None:
    send(rolling, {"item_id": "new-1", "creator_id": "someone"})

    wait_for(lambda: version_of(rolling) == 1)
    wait_for(lambda: all("new-1" in ids(ask(rolling, user=f"user-{n}")) for n in range(12)))
    assert {ask(rolling, user=f"user-{n}")["model_version"] for n in range(12)} == {"1", "2"}


def test_an_item_that_the_model_knows_is_not_served_twice(home: Home, served: httpx.Client) -> None:
    before = ids(ask(served))

    send(served, {"item_id": "film-11", "creator_id": "another"}, {"item_id": "new-1"})

    wait_for(lambda: "new-1" in ids(ask(served)))
    after = ids(ask(served))
    assert sorted(after) == sorted([*before, "new-1"])


def test_a_blocked_newcomer_is_never_served_and_a_takedown_holds_for_newcomers(
    home: Home, served: httpx.Client
) -> None:
    send(served, {"item_id": "new-1"}, {"item_id": "new-2", "safety": "blocked"})
    wait_for(lambda: "new-1" in ids(ask(served)))
    assert "new-2" not in ids(ask(served))

    body = {"item_ids": ["new-1"], "reason": "rights"}
    served.post("/v1/admin/takedown", json=body, headers=AUTHORISED)

    wait_for(lambda: "new-1" not in ids(ask(served)))
    assert not {"new-1", "new-2"} & set(ids(ask(served)))


def test_a_label_that_changes_holds_for_every_model_and_for_the_fallback(home: Home, rolling: httpx.Client) -> None:
    send(rolling, {"item_id": "film-00", "safety": "blocked"}, {"item_id": "film-29", "safety": "blocked"})

    def shown() -> set[str]:
        lists = [ids(ask(rolling, user=f"user-{n}", **extra)) for n in range(8) for extra in ({}, {"history": []})]
        return set().union(*lists)

    wait_for(lambda: not {"film-00", "film-29"} & shown())
    send(rolling, {"item_id": "film-00", "safety": "ok"})
    wait_for(lambda: "film-00" in shown())
    assert "film-29" not in shown()


def test_what_ingest_appends_is_served_too(home: Home, served: httpx.Client) -> None:
    rows = pa.Table.from_pylist([{"item_id": "from-ingest", "safety": "ok"}], schema=ITEMS)

    SegmentStore(home.database).append(rows, by="ingest", now=NOW)

    wait_for(lambda: "from-ingest" in ids(ask(served)))


def test_newcomers_are_there_when_the_gateway_starts(home: Home, request: pytest.FixtureRequest) -> None:
    home.crown(constant_scorer())
    rows = pa.Table.from_pylist([{"item_id": "new-1", "safety": "ok"}], schema=ITEMS)
    SegmentStore(home.database).append(rows, by="ingest", now=NOW)

    client: httpx.Client = request.getfixturevalue("client")

    assert "new-1" in ids(ask(client))


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer wrong"}, {"X-Nothing": "1"}])
def test_new_items_need_the_token(client: httpx.Client, headers: dict[str, str]) -> None:
    assert send(client, {"item_id": "new-1"}, **headers).status_code == 401
    assert version_of(client) == 0


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"item_id": ""}],
        [{"item_id": "a" * 201}],
        [{"item_id": "a\x00b"}],
        [{"item_id": "a", "safety": "fine"}],
        [{"item_id": "a", "text": "t" * 2001}],
        [{"item_id": "a", "duration_seconds": -1}],
        [{"item_id": "a", "published_at": "2026-01-01T00:00:00"}],
        [{"item_id": "a", "unknown": 1}],
        [{"item_id": f"item-{n}"} for n in range(501)],
    ],
)
def test_new_items_outside_the_limits_are_refused(client: httpx.Client, items: list[dict[str, Any]]) -> None:
    response = send(client, *items)

    assert response.status_code == 422
    assert response.json()["error"]["where"].startswith("body")
