"""People who watch films and click, through the gateway's own interface: what a canary is judged by."""

import random
from datetime import UTC, datetime, timedelta

import httpx

from tests.browser.catalogue import ITEM_IDS

_TOP = 4
"""Places of a list that people look at."""


def crowd(gateway: httpx.Client, users: range, *, rng: random.Random) -> None:
    """Let new people ask for a list after one film; most click what follows on it, where they see it."""
    events = []
    for number in users:
        watched = rng.randrange(len(ITEM_IDS))
        answer = ask(gateway, f"viewer-{number}", watched=ITEM_IDS[watched], origin="replay")
        shown = [item["item_id"] for item in answer["items"]][:_TOP]
        wanted = {ITEM_IDS[(watched + step) % len(ITEM_IDS)] for step in range(1, 7)}
        clicked = [item for item in shown if item in wanted and rng.random() < 0.4]
        events += [click(answer, item) for item in clicked]
    send(gateway, events)


def ask(gateway: httpx.Client, user: str, *, watched: str = "", origin: str = "event") -> dict[str, object]:
    """Return the list that one person is answered."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    body: dict[str, object] = {"user": user, "surface": "video", "k": 10, "origin": origin}
    if watched:
        body["history"] = [{"item_id": watched, "timestamp": at.isoformat()}]
    answer = gateway.post("/v1/recommend", json=body)
    answer.raise_for_status()
    found: dict[str, object] = answer.json()
    return found


def click(answer: dict[str, object], item: str) -> dict[str, object]:
    """Return the event of a click on an item of a list."""
    return {
        "event_id": f"{answer['request_id']}-{item}",
        "request_id": answer["request_id"],
        "item_id": item,
        "kind": "clicked",
    }


def send(gateway: httpx.Client, events: list[dict[str, object]]) -> None:
    """Send events, and hold that all of them were taken."""
    if events:
        answer = gateway.post("/v1/feedback", json={"events": events})
        answer.raise_for_status()
        assert answer.json()["rejected"] == []
