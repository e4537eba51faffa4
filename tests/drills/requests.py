"""What the drills ask of a gateway, and how they wait."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from infra.supervisor import Stack


def until(is_so: Callable[[], Any], stack: Stack, *, seconds: float = 60.0) -> Any:
    """Watch the stack as `everfeed up` does until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, "it did not happen in time"
        stack.watch()
        time.sleep(0.1)
    return found


def ask(client: httpx.Client, user: str) -> httpx.Response:
    return client.post("/v1/recommend", json={"user": user, "k": 3})


def click(client: httpx.Client, answer: dict[str, Any], *, event: str) -> httpx.Response:
    item = answer["items"][0]["item_id"]
    message = {"event_id": event, "request_id": answer["request_id"], "item_id": item, "kind": "clicked"}
    return client.post("/v1/feedback", json={"events": [message]})
