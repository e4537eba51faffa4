"""An erased user at the gateway: answered like an unknown one, and nothing about them is kept."""

import time
from datetime import UTC, datetime

import httpx
import pytest

from infra.erasures import ErasureStore
from infra.events import user_key
from infra.histories import HistoryEvent, HistoryStore
from infra.settings import Settings
from tests.infra.gateway_home import NOW, SECRET, Home
from tests.infra.serving.keepalive import gateway
from tests.infra.serving.test_app import ask, ids, rows, wait_for

FORGET_SECONDS = 5.0


def test_an_erased_user_is_answered_like_an_unknown_one_and_not_logged(home: Home, served: httpx.Client) -> None:
    key = user_key("ann", SECRET)
    HistoryStore(home.database).append([HistoryEvent(key, "film-10", NOW, "video")])
    assert not ask(served)["unknown_user"]
    wait_for(lambda: len(rows(home)) == 1)

    ErasureStore(home.database).begin(key, by="a test", now=NOW)

    answer = ask(served)  # a worker that has not heard of it yet
    assert answer["unknown_user"]
    assert ids(answer) == ids(ask(served, "nobody"))
    wait_for(lambda: [row.user_key for row in rows(home)] == [user_key("nobody", SECRET)])
    time.sleep(0.5)  # longer than a poll: the worker has heard of it now
    later = ask(served)
    event = {"event_id": "e1", "request_id": later["request_id"], "item_id": ids(later)[0], "kind": "clicked"}
    report = served.post("/v1/feedback", json={"events": [event]}).json()
    assert (report["accepted"], len(report["rejected"])) == (0, 1)
    assert ask(served)["unknown_user"]
    assert ErasureStore(home.database).count(key) == {}


@pytest.mark.slow
def test_two_workers_forget_a_user_at_once(home: Home) -> None:
    home.crown()
    key = user_key("ann", Settings(home=home.folder).user_secret())
    HistoryStore(home.database).append([HistoryEvent(key, "film-10", datetime.now(UTC), "video")])
    with gateway(home.folder, workers=2) as running:

        def answers() -> set[bool]:
            asked = [httpx.post(f"{running.url}/v1/recommend", json={"user": "ann"}) for _ in range(20)]
            return {answer.json()["unknown_user"] for answer in asked}

        assert answers() == {False}
        began = time.monotonic()
        ErasureStore(home.database).begin(key, by="a test", now=datetime.now(UTC))
        while answers() != {True}:
            assert time.monotonic() - began < FORGET_SECONDS, "it was not forgotten in time"
        time.sleep(1.0)
        assert ErasureStore(home.database).count(key) == {}
