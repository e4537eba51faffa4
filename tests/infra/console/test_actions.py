import threading
import time
from datetime import UTC, datetime

import httpx
import pytest

from infra.access import AccessTokens, Role
from infra.audit_log import AuditLog
from infra.outbox import Outbox
from infra.retrains import RetrainStore
from infra.rollouts import RolloutState
from tests.infra.console.reading import Page, agree, load, open_incident
from tests.infra.gateway_home import NOW, TOKEN, Home

ROLLOUT_VERBS = ("promote", "abort", "hold", "resume")


def sign_in(client: httpx.Client, token: str) -> httpx.Response:
    return client.post("/sign-in", data={"token": token, "next": "/"})


def newest(home: Home) -> tuple[str, str, str, str]:
    record = AuditLog(home.database).recent(1)[0]
    return record.actor, record.action, record.subject, record.outcome


def test_a_wrong_token_is_told_what_to_do_and_opens_nothing(home: Home, client: httpx.Client) -> None:
    answer = sign_in(client, "no-such-token")

    assert answer.status_code == 403
    assert "secrets/write_token" in Page(answer.text).text
    assert "everfeed tokens add" in Page(answer.text).text
    assert "set-cookie" not in answer.headers
    assert newest(home) == ("console:unknown", "sign in", "", "refused")
    assert "no-such-token" not in answer.text


def test_wrong_tokens_are_slowed_down(client: httpx.Client) -> None:
    codes = [sign_in(client, f"wrong-{number}").status_code for number in range(11)]

    assert codes == [403] * 10 + [429]
    assert sign_in(client, TOKEN).status_code == 429


def test_the_cookie_is_strict_and_names_nothing(operator: httpx.Client, home: Home) -> None:
    answer = sign_in(operator, TOKEN)

    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert TOKEN not in cookie
    assert newest(home) == ("console:owner", "sign in", "", "done")
    assert TOKEN not in operator.get("/").text


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example", "/\\evil.example", "evil", "/\nx"])
def test_a_sign_in_leads_nowhere_else(client: httpx.Client, target: str) -> None:
    answer = client.post("/sign-in", data={"token": TOKEN, "next": target})

    assert answer.headers["location"] == "/"


def test_asks_for_a_sign_in_first_and_comes_back(client: httpx.Client) -> None:
    answer = client.get("/act/retrain")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/act/retrain%3F"


def test_promotes_after_asking_and_writes_it_down(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    question = load(operator, "/act/promote", rollout="rollout-1")
    assert "Promote version 2?" in question.text
    assert home.rollouts.champion().version == 1  # type: ignore[union-attr] # asking does nothing

    answer = agree(operator, "/act/promote?rollout=rollout-1", reason="it is better <b>")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/rollouts/rollout-1"
    champion = home.rollouts.champion()
    assert champion is not None
    assert (champion.version, champion.by, champion.reason) == (2, "owner", "it is better <b>")
    assert newest(home) == ("console:owner", "canary promote", "rollout-1", "done")
    assert "Version 2 is champion." in load(operator).text
    assert "Version 2 is champion. The" not in load(operator).text.split("Who changed what")[0]  # said once
    assert "it is better &lt;b&gt;" in operator.get("/audit").text


def test_an_abort_beats_a_promotion_and_both_are_told(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    promotion = Page(operator.get("/act/promote?rollout=rollout-1").text).fields()
    agree(operator, "/act/abort?rollout=rollout-1", reason="it breaks the list")

    late = operator.post("/act/promote", data={**promotion, "reason": "it is better"})

    assert late.status_code == 409
    words = Page(late.text).text
    assert "owner changed it to rolled_back" in words
    assert "it breaks the list" in words
    assert newest(home) == ("console:owner", "canary promote", "rollout-1", "refused")
    assert home.rollouts.rollout("rollout-1").state == RolloutState.ROLLED_BACK
    assert home.rollouts.champion().version == 1  # type: ignore[union-attr]


def test_an_abort_undoes_a_promotion_that_came_first(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    abort = Page(operator.get("/act/abort?rollout=rollout-1").text).fields()
    agree(operator, "/act/promote?rollout=rollout-1", reason="it is better")

    assert operator.post("/act/abort", data={**abort, "reason": "it is not"}).status_code == 303
    assert home.rollouts.champion().version == 1  # type: ignore[union-attr]
    words = load(operator).text
    assert "owner had promoted it at" in words
    assert "that is undone: version 1 serves everyone." in words


def test_whoever_promotes_is_told_of_an_abort_at_the_same_moment(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    abort = threading.Timer(0.5, lambda: _abort_elsewhere(home))
    promotion = {**Page(operator.get("/act/promote?rollout=rollout-1").text).fields(), "reason": "it is better"}
    abort.start()

    answer = operator.post("/act/promote", data=promotion)

    abort.join()
    assert answer.status_code == 409
    assert "ben aborted" in Page(answer.text).text
    assert "version 1 serves everyone again" in Page(answer.text).text
    assert newest(home) == ("console:owner", "canary promote", "rollout-1", "refused")


def _abort_elsewhere(home: Home) -> None:
    """Abort as soon as the promotion is through."""
    while home.rollouts.champion().version != 2:  # type: ignore[union-attr]
        time.sleep(0.01)
    home.rollouts.roll_back("rollout-1", fencing=None, now=datetime.now(UTC), by="ben", reason="it breaks")


def test_holds_and_resumes(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    agree(operator, "/act/hold?rollout=rollout-1", reason="lunch")
    assert home.rollouts.rollout("rollout-1").state == RolloutState.HELD
    assert "Resume the rollout" in load(operator, "/rollouts/rollout-1").text
    agree(operator, "/act/resume?rollout=rollout-1", reason="back")
    assert home.rollouts.rollout("rollout-1").state == RolloutState.RUNNING


def test_asks_again_where_nobody_says_why(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()

    answer = agree(operator, "/act/abort?rollout=rollout-1", reason="  ")

    assert answer.status_code == 422
    assert "Say why in a few words" in answer.text
    assert home.rollouts.rollout("rollout-1").is_active


def test_refuses_what_other_pages_send(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    form = {**Page(operator.get("/act/abort?rollout=rollout-1").text).fields(), "reason": "mischief"}

    foreign = operator.post("/act/abort", data=form, headers={"origin": "http://evil.example"})
    opaque = operator.post("/act/abort", data=form, headers={"origin": "null"})
    without = operator.post("/act/abort", data={**form, "form_key": ""})
    guessed = operator.post("/act/abort", data={**form, "form_key": "a" * 43})
    operator.cookies.clear()
    nobody = operator.post("/act/abort", data=form)

    assert [one.status_code for one in (foreign, opaque, without, guessed, nobody)] == [403] * 5
    assert home.rollouts.rollout("rollout-1").is_active
    assert operator.get("/act/abort?rollout=rollout-1").status_code == 303  # asks who it is


def test_an_address_alone_changes_nothing(home: Home, operator: httpx.Client) -> None:
    home.crown()
    home.challenge()
    for verb in ROLLOUT_VERBS:
        operator.get(f"/act/{verb}", params={"rollout": "rollout-1", "reason": "a link", "fencing": "1"})
    assert home.rollouts.rollout("rollout-1").fencing == 1
    assert home.rollouts.champion().version == 1  # type: ignore[union-attr]


def test_a_viewer_looks_and_does_not_act(home: Home, client: httpx.Client) -> None:
    tokens = AccessTokens(home.database, master=TOKEN)
    assert sign_in(client, tokens.add("eve", Role.VIEWER, now=NOW)).status_code == 303

    answer = client.get("/act/retrain")

    assert answer.status_code == 403
    assert "is a viewer's token" in Page(answer.text).text
    assert RetrainStore(home.database).all() == []


def test_a_revoked_token_ends_its_session_at_once(home: Home, client: httpx.Client) -> None:
    tokens = AccessTokens(home.database, master=TOKEN)
    sign_in(client, tokens.add("ana", Role.OPERATOR, now=NOW))
    form = Page(client.get("/act/retrain").text).fields()
    tokens.revoke("ana", now=datetime.now(UTC))

    assert client.post("/act/retrain", data={**form, "reason": "late"}).status_code == 403
    assert RetrainStore(home.database).all() == []


def test_signs_out(operator: httpx.Client) -> None:
    assert "Sign out" in operator.get("/").text
    form = Page(operator.get("/").text).fields()
    assert operator.post("/sign-out", data={"form_key": "no"}).status_code == 403
    assert operator.post("/sign-out", data={"form_key": form["form_key"]}).status_code == 303
    assert "Sign out" not in operator.get("/").text


def test_acknowledges_an_incident_and_tells_the_channels(home: Home, operator: httpx.Client) -> None:
    open_incident(home)

    answer = agree(operator, "/act/ack?incident=incident-1", note="on it <i>")

    assert answer.status_code == 303, answer.text
    document = Outbox(home.database).incident("incident-1").document
    assert (document["acknowledged_by"], document["acknowledged_note"]) == ("owner", "on it <i>")
    assert newest(home) == ("console:owner", "alerts ack", "incident-1", "done")
    page = operator.get("/").text
    assert "owner takes care: on it &lt;i&gt;" in page
    assert 'aria-label="Acknowledge' not in page
    assert "acknowledged" in {one.document.get("transition") for one in Outbox(home.database).deliveries()}


def test_silences_and_ends_the_silence(home: Home, operator: httpx.Client) -> None:
    open_incident(home)

    agree(operator, "/act/silence?model=&family=data", reason="a migration", family="data", length="2h")

    now = datetime.now(UTC)
    (silence,) = Outbox(home.database).silences(now=now)
    assert (silence.family, silence.by, silence.reason) == ("data", "owner", "a migration")
    assert "Silent until" in load(operator, "/incidents").text
    agree(operator, "/act/unsilence?model=&family=data")
    assert Outbox(home.database).silences(now=datetime.now(UTC)) == []


def test_refuses_a_silence_of_no_length(home: Home, operator: httpx.Client) -> None:
    answer = agree(operator, "/act/silence?model=&family=data", reason="x", family="data", length="for ever")

    assert answer.status_code == 409
    assert "is no length of a silence" in answer.text
    assert newest(home)[3] == "refused"


def test_a_retrain_is_written_down_although_prefect_is_away(home: Home, operator: httpx.Client) -> None:
    open_incident(home)

    answer = agree(operator, "/act/retrain", reason="new catalogue")

    assert answer.status_code == 303
    (asked,) = RetrainStore(home.database).all()
    assert "asked for by owner: new catalogue" in asked.reason
    page = load(operator)
    assert "is written down and has not begun" in page.text
    assert asked.retrain_id in page.text
    again = agree(operator, "/act/retrain", reason="twice")
    assert again.status_code == 409
    assert "Wait for its end" in Page(again.text).text


def test_says_what_to_do_where_prefect_is_away_and_a_schedule_is_to_be_paused(operator: httpx.Client) -> None:
    answer = operator.get("/act/pause?schedule=daily/daily")

    assert answer.status_code == 409
    assert "Prefect at http://127.0.0.1:1 does not answer" in answer.text
    assert "everfeed up" in Page(answer.text).text


def test_refuses_a_form_larger_than_ours(operator: httpx.Client) -> None:
    assert operator.post("/act/retrain", data={"reason": "a" * 20_000}).status_code == 413


@pytest.mark.parametrize("path", ["/act/promote?rollout=none", "/act/ack?incident=none", "/act/abort", "/act/ack"])
def test_says_so_where_there_is_no_such_thing(operator: httpx.Client, path: str) -> None:
    assert operator.get(path).status_code == 409
