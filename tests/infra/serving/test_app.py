import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from infra.event_records import requests
from infra.events import user_key
from infra.histories import HistoryEvent, HistoryStore
from infra.rollouts import ModelReference
from infra.takedowns import TakedownStore
from recmodels.assignment import Arm, arm_of
from recmodels.scorers import EncoderScorer
from tests.infra.gateway_home import BLOCKED_ITEM, LIVE_ITEM, NOW, NUM_ITEMS, SECRET, TOKEN, Home, overflowing_scorer
from tests.recmodels.graphs import timed_encoder


def history(*item_ids: str) -> list[dict[str, Any]]:
    return [{"item_id": item, "timestamp": 1_000_000 * place} for place, item in enumerate(item_ids)]


def ask(client: httpx.Client, user: str = "ann", **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user": user, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def wait_for(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def user_of(arm: Arm, *, share: float = 0.5) -> str:
    return next(f"user-{n}" for n in range(1000) if arm_of(f"user-{n}", salt="a salt", share=share) is arm)


def rows(home: Home) -> list[Any]:
    with home.database.read() as connection:
        return list(connection.execute(select(requests).order_by(requests.c.id)))


def test_answers_the_model_list_when_a_history_is_given(served: httpx.Client) -> None:
    answer = ask(served, history=history("film-10"), k=3)

    assert ids(answer)[0] == "film-11"  # the champion's model: the next item
    assert [item["position"] for item in answer["items"]] == [0, 1, 2]
    assert {item["why"] for item in answer["items"]} == {"retrieval"}
    assert {item["propensity"] for item in answer["items"]} == {1.0}
    assert (answer["model_version"], answer["arm"]) == ("1", "rest")
    assert not answer["is_fallback"]
    assert not answer["unknown_user"]


def test_orders_the_given_history_by_time_and_reads_both_forms_of_it(served: httpx.Client) -> None:
    given = [
        {"item_id": "film-20", "timestamp": "1998-01-02T00:00:00Z"},
        {"item_id": "film-10", "timestamp": 884_563_200_000_000},
    ]

    answer = ask(served, history=given, k=2)

    assert set(ids(answer)) == {"film-11", "film-21"}


def test_hands_the_times_of_a_history_on_when_the_model_reads_them(home: Home, request: pytest.FixtureRequest) -> None:
    """A graph that weighs a first event by its age less 10 s, a last one by -10: above 20 s, larger vectors win."""
    vectors = np.arange(NUM_ITEMS + 2, dtype=np.float32)[:, None]
    home.crown(EncoderScorer(timed_encoder(1), vectors, max_length=2))
    served: httpx.Client = request.getfixturevalue("client")
    stored = HistoryStore(home.database)
    for user, seconds in (("quick", 19), ("slow", 21)):
        key, later = user_key(user, SECRET), NOW + timedelta(seconds=seconds)
        stored.append([HistoryEvent(key, "film-05", NOW, "video"), HistoryEvent(key, "film-05", later, "video")])
        given = [{"item_id": "film-05", "timestamp": moment.isoformat()} for moment in (NOW, later)]

        expected = "film-29" if user == "slow" else "film-00"
        assert ids(ask(served, user=user, k=1)) == [expected]
        assert ids(ask(served, user="other", history=given, k=1)) == [expected]


def test_leaves_out_history_excluded_and_blocked_items(served: httpx.Client) -> None:
    answer = ask(served, history=history("film-10"), exclude=["film-11"], k=200)

    assert not {"film-10", "film-11", BLOCKED_ITEM, LIVE_ITEM} & set(ids(answer))
    assert len(answer["items"]) == 30 - 4


def test_answers_popular_items_and_says_so_when_the_user_is_unknown(served: httpx.Client) -> None:
    answer = ask(served, user="nobody", k=3)

    assert ids(answer) == ["film-00", "film-02", "film-04"]  # 01 is blocked, 03 is on another surface
    assert answer["unknown_user"]
    assert answer["is_fallback"]
    assert answer["fallback_reason"] == "unknown_user"
    assert {item["why"] for item in answer["items"]} == {"fallback"}
    assert {item["score"] for item in answer["items"]} == {None}


def test_uses_the_stored_history_when_none_is_given(home: Home, served: httpx.Client) -> None:
    key = user_key("ann", SECRET)
    HistoryStore(home.database).append([HistoryEvent(key, "film-05", NOW, "video")])

    assert ids(ask(served))[0] == "film-06"
    assert ask(served, history=[])["unknown_user"]  # an empty history that is given replaces the stored one


def test_a_click_changes_the_next_list(home: Home, served: httpx.Client) -> None:
    first = ask(served, user="bob", k=1)
    event = {"event_id": "e1", "request_id": first["request_id"], "item_id": "film-00", "kind": "clicked"}

    receipt = served.post("/v1/feedback", json={"events": [event]}).json()

    assert receipt == {"accepted": 1, "duplicates": 0, "rejected": []}
    second = ask(served, user="bob", k=1)
    assert not second["unknown_user"]
    assert HistoryStore(home.database).last(user_key("bob", SECRET), limit=5).item_ids == ("film-00",)


def test_feedback_counts_once_when_it_is_sent_twice(home: Home, served: httpx.Client) -> None:
    answer = ask(served, user="bob", k=2)
    events = [
        {"event_id": f"e{n}", "request_id": answer["request_id"], "item_id": item, "kind": "clicked", "value": 1.0}
        for n, item in enumerate(ids(answer))
    ]

    first = served.post("/v1/feedback", json={"events": events}).json()
    second = served.post("/v1/feedback", json={"events": events}).json()

    assert (first["accepted"], first["duplicates"]) == (2, 0)
    assert (second["accepted"], second["duplicates"]) == (0, 2)
    assert len(HistoryStore(home.database).last(user_key("bob", SECRET), limit=10).item_ids) == 2


def test_feedback_is_rejected_with_a_reason_when_the_item_was_not_shown(served: httpx.Client) -> None:
    answer = ask(served, k=1)
    given = {"request_id": answer["request_id"], "item_id": ids(answer)[0], "kind": "clicked"}
    events = [
        {**given, "event_id": "e1", "item_id": "film-29"},
        {**given, "event_id": "e2", "request_id": "unheard-of"},
        {**given, "event_id": "e3", "kind": "stared at"},
        {**given, "event_id": "e4"},
    ]

    receipt = served.post("/v1/feedback", json={"events": events}).json()

    assert receipt["accepted"] == 1
    reasons = {rejected["event_id"]: rejected["reason"] for rejected in receipt["rejected"]}
    assert "film-29" in reasons["e1"]
    assert "unheard-of" in reasons["e2"]
    assert "watch_seconds" in reasons["e3"]  # what is known


def test_replayed_traffic_leaves_histories_alone(home: Home, served: httpx.Client) -> None:
    answer = ask(served, user="visitor", history=history("film-10"), origin="replay", k=1)
    event = {"event_id": "e1", "request_id": answer["request_id"], "item_id": "film-11", "kind": "clicked"}

    assert served.post("/v1/feedback", json={"events": [event]}).json()["accepted"] == 1

    assert HistoryStore(home.database).num_users() == 0
    assert [row.origin for row in rows(home)] == ["replay"]


def test_each_user_is_served_by_the_model_of_the_arm(home: Home, rolling: httpx.Client) -> None:
    canary = ask(rolling, user_of(Arm.CANARY), history=history("film-10"), k=1)
    control = ask(rolling, user_of(Arm.CONTROL), history=history("film-10"), k=1)

    assert (canary["arm"], canary["model_version"], ids(canary)) == ("canary", "2", ["film-29"])
    assert (control["arm"], control["model_version"], ids(control)) == ("control", "1", ["film-11"])
    assert canary["rollout_id"] == control["rollout_id"] == "rollout-1"
    assert [row.arm for row in rows_when(home, 2)] == ["canary", "control"]


def rows_when(home: Home, count: int) -> list[Any]:
    wait_for(lambda: len(rows(home)) >= count)
    return rows(home)


def row_of(home: Home, answer: dict[str, Any]) -> Any:
    def found() -> list[Any]:
        return [row for row in rows(home) if row.request_id == answer["request_id"]]

    wait_for(lambda: bool(found()))
    return found()[0]


def test_everything_served_is_logged_without_the_raw_user_id(home: Home, rolling: httpx.Client) -> None:
    answer = ask(rolling, user_of(Arm.CANARY), history=history("film-10"), k=2, surface="video")

    (row,) = rows_when(home, 1)

    assert row.request_id == answer["request_id"]
    assert row.user_key == user_key(user_of(Arm.CANARY), SECRET)
    assert user_of(Arm.CANARY) not in str(row)
    assert (row.num_items, row.num_requested, row.rollout_id, row.step) == (2, 2, "rollout-1", 0)
    assert (row.is_fallback, row.is_error, row.is_non_finite) == (False, False, False)
    assert 0 < row.latency_seconds < 5
    assert abs((datetime.now(UTC).timestamp() * 1e6) - row.timestamp) < 60e6


def test_a_rollback_reaches_the_gateway_within_a_second(home: Home, rolling: httpx.Client) -> None:
    user = user_of(Arm.CANARY)
    assert ask(rolling, user)["arm"] == "canary"

    home.rollouts.roll_back("rollout-1", fencing=None, now=NOW, by="a test", reason="enough")

    wait_for(lambda: ask(rolling, user)["arm"] == "rest", seconds=1.0)
    assert ask(rolling, user, history=history("film-10"))["model_version"] == "1"


def test_a_promoted_challenger_takes_over_without_a_failed_request(home: Home, rolling: httpx.Client) -> None:
    fencing = home.rollouts.rollout("rollout-1").fencing
    home.rollouts.promote("rollout-1", fencing=fencing, now=NOW, by="a test", reason="better")
    user = user_of(Arm.CONTROL)
    answers = []

    def is_promoted() -> bool:
        answers.append(ask(rolling, user, history=history("film-10")))
        return answers[-1]["model_version"] == "2"

    wait_for(is_promoted)
    assert not any(answer["is_fallback"] for answer in answers)


def test_a_challenger_whose_bundle_is_missing_costs_its_users_popular_items(home: Home, served: httpx.Client) -> None:
    challenger = home.challenge(is_missing=True)
    user = user_of(Arm.CANARY)
    wait_for(lambda: ask(served, user)["arm"] == "canary")

    answer = ask(served, user, history=history("film-00"), k=1)

    assert (ids(answer), answer["fallback_reason"], answer["is_fallback"]) == (["film-02"], "not_loaded", True)
    row = row_of(home, answer)
    assert (row.is_fallback, row.is_error, row.arm) == (True, True, "canary")
    slot = served.get("/v1/status").json()["slots"][1]
    assert slot["state"] == "failed"
    assert challenger.digest[:12] in slot["problem"]
    assert ask(served, user_of(Arm.CONTROL), history=history("film-10"))["fallback_reason"] == ""


def test_scores_that_are_not_finite_are_flagged_and_never_shown(home: Home, served: httpx.Client) -> None:
    home.challenge(overflowing_scorer())
    user = user_of(Arm.CANARY)
    wait_for(lambda: ask(served, user)["arm"] == "canary")

    answer = ask(served, user, history=history("film-10"))

    assert answer["fallback_reason"] == "not_finite"
    row = row_of(home, answer)
    assert row.is_non_finite
    assert "not finite numbers" in served.get("/v1/status").json()["slots"][1]["problem"]


def test_answers_an_empty_flagged_list_when_there_is_no_model_at_all(client: httpx.Client) -> None:
    answer = ask(client, history=history("film-10"))

    assert answer["items"] == []
    assert (answer["is_fallback"], answer["fallback_reason"]) == (True, "no_model")
    assert (answer["model_version"], answer["digest"]) == ("", "")
    assert client.get("/readyz").status_code == 200


def test_the_first_champion_is_picked_up_while_running(home: Home, client: httpx.Client) -> None:
    assert ask(client)["fallback_reason"] == "no_model"

    home.crown()

    wait_for(lambda: ids(ask(client, history=history("film-10"), k=1)) == ["film-11"])


def test_a_takedown_holds_for_every_model_and_for_the_fallback(home: Home, rolling: httpx.Client) -> None:
    body = {"item_ids": ["film-00", "film-11", "film-29"], "reason": "rights"}

    response = rolling.post("/v1/admin/takedown", json=body, headers={"Authorization": f"Bearer {TOKEN}"})

    assert response.json() == {"blocked": 3}
    wait_for(lambda: rolling.get("/v1/status").json()["taken_down"] == 3)
    for user in (user_of(Arm.CANARY), user_of(Arm.CONTROL), "nobody"):
        for given in (history("film-10"), []):
            assert not {"film-00", "film-11", "film-29"} & set(ids(ask(rolling, user, history=given, k=200)))
    lifted = rolling.post(
        "/v1/admin/takedown", json={**body, "is_blocked": False}, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert lifted.json() == {"blocked": 0}
    assert TakedownStore(home.database).blocked().item_ids == frozenset()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_a_takedown_is_refused_without_the_token(client: httpx.Client, headers: dict[str, str]) -> None:
    response = client.post("/v1/admin/takedown", json={"item_ids": ["a"], "reason": "b"}, headers=headers)

    assert response.status_code == 401
    assert "write_token" in response.json()["error"]["what_to_do"]


@pytest.mark.parametrize("body", [{"item_ids": ["a\x00b"], "reason": "x"}, {"item_ids": ["a"], "reason": "x\x00"}])
def test_a_takedown_that_some_databases_cannot_store_is_refused(client: httpx.Client, body: dict[str, object]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/v1/admin/takedown", json=body, headers=headers).status_code == 422


def test_status_tells_who_serves(home: Home, rolling: httpx.Client) -> None:
    status = rolling.get("/v1/status").json()

    serving = home.rollouts.serving()
    assert isinstance(serving.champion, ModelReference)
    assert [slot["role"] for slot in status["slots"]] == ["champion", "challenger"]
    assert [slot["state"] for slot in status["slots"]] == ["ready", "ready"]
    assert status["slots"][0]["digest"] == serving.champion.digest
    assert (status["rollout_id"], status["step"], status["share"]) == ("rollout-1", 0, 0.5)
    assert status["is_store_reachable"]


def test_explain_shows_both_lists_and_logs_nothing(home: Home, rolling: httpx.Client) -> None:
    user = user_of(Arm.CONTROL)
    HistoryStore(home.database).append([HistoryEvent(user_key(user, SECRET), "film-10", NOW, "video")])

    answer = rolling.post("/v1/explain", json={"user": user, "k": 1}).json()

    assert (answer["arm"], answer["history"], answer["history_length"]) == ("control", ["film-10"], 1)
    assert 5000 <= answer["bucket"] < 10_000
    champion, challenger = answer["lists"]
    assert [item["item_id"] for item in champion["items"]] == ["film-11"]
    assert [item["item_id"] for item in challenger["items"]] == ["film-29"]
    assert champion["items"][0]["text"] == "<b>Title</b> of film-11"
    for explained in (champion, challenger):
        stages = {stage["name"]: stage for stage in explained["stages"]}
        assert stages["catalogue"]["kept"] == 30
        assert (stages["filter seen"]["removed"], stages["filter safety"]["removed"]) == (1, 1)
        assert stages["filter surface"]["removed"] == 1
        assert explained["stages"][-1]["kept"] == 1
    time.sleep(0.1)
    assert rows(home) == []


def test_explain_tells_why_better_scored_items_are_left_out(home: Home, rolling: httpx.Client) -> None:
    user = user_of(Arm.CANARY)
    HistoryStore(home.database).append([HistoryEvent(user_key(user, SECRET), "film-29", NOW, "video")])
    headers = {"Authorization": f"Bearer {TOKEN}"}
    rolling.post("/v1/admin/takedown", json={"item_ids": ["film-28"], "reason": "rights"}, headers=headers)
    wait_for(lambda: rolling.get("/v1/status").json()["taken_down"] == 1)

    _, challenger = rolling.post("/v1/explain", json={"user": user, "k": 2}).json()["lists"]

    assert [item["item_id"] for item in challenger["items"]] == ["film-27", "film-26"]
    rejected = [(item["item_id"], item["reason"], item["score"]) for item in challenger["rejected"]]
    assert rejected == [("film-29", "seen", 31.0), ("film-28", "blocked", 30.0)]


def test_explain_names_the_fallback_when_no_model_is_asked(home: Home, served: httpx.Client) -> None:
    home.challenge(is_missing=True)
    wait_for(lambda: len(served.get("/v1/status").json()["slots"]) == 2)

    champion, challenger = served.post("/v1/explain", json={"user": "nobody", "k": 2}).json()["lists"]

    assert (champion["fallback_reason"], challenger["fallback_reason"]) == ("unknown_user", "not_loaded")
    assert [stage["name"] for stage in champion["stages"]] == ["fallback"]
    assert "no history" in champion["stages"][0]["words"]
    assert [item["item_id"] for item in champion["items"]] == ["film-00", "film-02"]
    assert (champion["rejected"], challenger["rejected"]) == ([], [])


def test_the_context_of_a_request_is_accepted_bounded_and_kept_nowhere(home: Home, served: httpx.Client) -> None:
    context = {"device": "a-secret-device", "hour": 7.5, "is_wifi": True, "city": None}

    answer = ask(served, history=history("film-10"), context=context)

    assert row_of(home, answer).model_version == "1"
    home.database.close()
    kept = b"".join(path.read_bytes() for path in home.folder.glob("everfeed.db*"))
    assert answer["request_id"].encode() in kept
    assert b"a-secret-device" not in kept
    for bad in ({"device": "d" * 201}, {"device": ["list"]}, {str(n): 1 for n in range(51)}, {"": 1}):
        assert served.post("/v1/recommend", json={"user": "ann", "context": bad}).status_code == 422


def test_metrics_are_open_metrics_and_count_fallbacks(served: httpx.Client) -> None:
    ask(served, user="nobody")
    served.post("/v1/recommend", json={"user": "ann", "k": 0})

    response = served.get("/metrics")

    assert response.headers["content-type"].startswith("application/openmetrics-text")
    lines = response.text.splitlines()
    assert lines[-1] == "# EOF"
    assert 'everfeed_fallbacks_total{arm="rest",reason="unknown_user"} 1' in lines
    assert 'everfeed_http_requests_total{path="/v1/recommend",status="422"} 1' in lines


def test_the_gateway_imports_none_of_the_heavy_libraries() -> None:
    heavy = ("torch", "mlflow", "prefect", "great_expectations", "evidently", "duckdb", "pandas", "deltalake")
    code = f"import sys, infra.serving.main; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
