"""Two gateway processes over one database: what one is told, the other knows, and how soon."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.rollouts import RolloutStore
from infra.settings import Settings
from recmodels.assignment import Arm, arm_of
from tests.infra.gateway_home import Home
from tests.infra.serving.keepalive import gateway

CLICK_SECONDS = 0.2
HOLD_SECONDS = 5.0


@pytest.fixture
def pair(home: Home) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two processes, with a champion and a challenger at 50 %."""
    home.crown()
    home.challenge()
    with (
        gateway(home.folder, workers=1) as one,
        gateway(home.folder, workers=1) as another,
        httpx.Client(base_url=one.url, trust_env=False) as first,
        httpx.Client(base_url=another.url, trust_env=False) as second,
    ):
        yield first, second


def token(folder: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {Settings(home=folder).token()}"}


def ask(client: httpx.Client, user: str, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user": user, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def seconds_until(condition: Callable[[], bool], *, at_most: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < at_most, "it did not hold in time"
        time.sleep(0.005)
    return time.monotonic() - began


def user_of(arm: Arm) -> str:
    return next(f"user-{n}" for n in range(1000) if arm_of(f"user-{n}", salt="a salt", share=0.5) is arm)


def lists(clients: tuple[httpx.Client, httpx.Client]) -> list[list[str]]:
    """What both processes answer: champion, challenger and fallback."""
    given = [{"item_id": "film-10", "timestamp": 0}]
    users = (user_of(Arm.CONTROL), user_of(Arm.CANARY))
    return [
        ids(ask(client, user, history=history, k=200))
        for client in clients
        for user in users
        for history in (given, [])
    ]


def test_a_click_through_one_process_changes_the_answer_of_the_other(pair: tuple[httpx.Client, httpx.Client]) -> None:
    first, second = pair
    user, times = user_of(Arm.CONTROL), []
    assert ask(second, user)["unknown_user"]
    for number in (0, 2, 4, 5, 6):
        shown = ask(first, user, k=200, history=[])
        event = {"event_id": f"e{number}", "request_id": shown["request_id"], "kind": "clicked"}
        event["item_id"] = f"film-{number:02d}"
        assert first.post("/v1/feedback", json={"events": [event]}).json()["accepted"] == 1
        clicked = event["item_id"]
        times.append(
            seconds_until(lambda: clicked not in ids(ask(second, user, k=200)), at_most=HOLD_SECONDS)  # noqa: B023
        )

    assert max(times) < CLICK_SECONDS
    assert ids(ask(second, user, k=1)) == ["film-07"]  # what follows the newest click


def test_a_takedown_and_a_label_hold_in_both_processes_for_every_model_and_the_fallback(
    home: Home, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    first, _ = pair
    everything = set().union(*lists(pair))
    assert {"film-00", "film-11", "film-28", "film-29"} <= everything
    headers = token(home.folder)

    body = {"item_ids": ["film-00", "film-11", "film-29"], "reason": "rights"}
    assert first.post("/v1/admin/takedown", json=body, headers=headers).status_code == 200
    taken_down = seconds_until(lambda: not set(body["item_ids"]) & set().union(*lists(pair)), at_most=HOLD_SECONDS)
    labels = {"items": [{"item_id": "film-28", "safety": "blocked"}, {"item_id": "new-1", "creator_id": "someone"}]}
    assert first.post("/v1/admin/items", json=labels, headers=headers).status_code == 200
    labelled = seconds_until(lambda: "film-28" not in set().union(*lists(pair)), at_most=HOLD_SECONDS)
    seconds_until(lambda: sum("new-1" in answer for answer in lists(pair)) == 4, at_most=HOLD_SECONDS)

    assert max(taken_down, labelled) < HOLD_SECONDS


@pytest.mark.slow
def test_a_rollback_reaches_both_processes(home: Home, pair: tuple[httpx.Client, httpx.Client]) -> None:
    user = user_of(Arm.CANARY)
    assert {ask(client, user)["arm"] for client in pair} == {"canary"}

    RolloutStore(home.database).roll_back(
        "rollout-1", fencing=None, now=datetime.now(UTC), by="a test", reason="enough"
    )

    seconds_until(lambda: {ask(client, user)["arm"] for client in pair} == {"rest"}, at_most=HOLD_SECONDS)
