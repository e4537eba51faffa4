"""What a token opens at the gateway, and how soon a revocation holds."""

import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from infra.access import AccessTokens, Role
from infra.audit_log import AuditLog
from tests.infra.gateway_home import NOW, TOKEN, Home

ELSEWHERE = {"X-Forwarded-For": "10.0.0.9"}
"""As a front-end server adds it: the caller is not on this machine."""

EXPLAIN = ("/v1/explain", {"user": "u1", "k": 2})
FEEDBACK = ("/v1/feedback", {"events": []})
TAKEDOWN = ("/v1/admin/takedown", {"item_ids": ["film-07"], "reason": "rights"})
ITEMS = ("/v1/admin/items", {"items": [{"item_id": "new-1"}]})

Ask = Callable[[tuple[str, dict[str, Any]], str], httpx.Response]


@pytest.fixture
def tokens(home: Home) -> AccessTokens:
    return AccessTokens(home.database, master=TOKEN)


@pytest.fixture
def ask(served: httpx.Client) -> Ask:
    def asked(request: tuple[str, dict[str, Any]], token: str) -> httpx.Response:
        headers = {**ELSEWHERE, **({"Authorization": f"Bearer {token}"} if token else {})}
        return served.post(request[0], json=request[1], headers=headers)

    return asked


def wait_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + 5.0, "it did not happen within 5 s"
        time.sleep(0.05)
    return time.monotonic() - began


def test_each_role_opens_what_it_is_for(tokens: AccessTokens, ask: Ask) -> None:
    made = {role: tokens.add(f"the-{role}", role, now=datetime.now(UTC)) for role in Role}
    wait_until(lambda: ask(TAKEDOWN, made[Role.OPERATOR]).status_code == 200)

    answers = {
        role: [ask(one, made[role]).status_code for one in (EXPLAIN, FEEDBACK, TAKEDOWN, ITEMS)] for role in Role
    }
    assert [[status in {401, 403} for status in answers[role]] for role in Role] == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, False, False],
    ]
    problem = ask(TAKEDOWN, made[Role.VIEWER]).json()["error"]
    assert problem["what"] == "the token of the-viewer is of role viewer, which may not do that"
    assert "everfeed tokens add NAME --role operator" in problem["what_to_do"]


def test_a_revoked_token_is_refused_within_five_seconds_and_told_nothing_more(tokens: AccessTokens, ask: Ask) -> None:
    now = datetime.now(UTC)
    expired = tokens.add("expired", Role.OPERATOR, now=now - timedelta(days=2), days=1)
    revoked = tokens.add("revoked", Role.OPERATOR, now=now)
    wait_until(lambda: ask(TAKEDOWN, revoked).status_code == 200)

    tokens.revoke("revoked", now=datetime.now(UTC))
    assert wait_until(lambda: ask(TAKEDOWN, revoked).status_code == 401) < 5.0
    answers = [ask(TAKEDOWN, token) for token in (revoked, expired, "wrong", "")]
    assert {answer.status_code for answer in answers} == {401}
    (text,) = {answer.text for answer in answers}
    assert "everfeed tokens add NAME --role operator" in text


def test_what_an_operator_changed_is_in_the_audit_log(home: Home, ask: Ask) -> None:
    assert ask(TAKEDOWN, TOKEN).status_code == 200
    lifted = ask((TAKEDOWN[0], {**TAKEDOWN[1], "is_blocked": False}), TOKEN)
    assert (lifted.status_code, ask(ITEMS, TOKEN).status_code) == (200, 200)
    assert ask(TAKEDOWN, "wrong").status_code == 401
    kept = [(one.actor, one.action, one.subject) for one in AuditLog(home.database).recent()]
    assert kept == [
        ("gateway:owner", "items add", "new-1"),
        ("gateway:owner", "takedown lift", "film-07"),
        ("gateway:owner", "takedown", "film-07"),
    ]


def test_a_request_asks_the_database_for_no_token(home: Home, tokens: AccessTokens, ask: Ask) -> None:
    token = tokens.add("ana", Role.VIEWER, now=NOW)
    wait_until(lambda: ask(EXPLAIN, token).status_code == 200)
    threads: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "access_tokens" in statement:
            threads.append(threading.current_thread().name)

    event.listen(home.database.engine, "before_cursor_execute", note)
    for _ in range(20):
        assert ask(EXPLAIN, token).status_code == 200
    wait_until(lambda: bool(threads))
    assert set(threads) == {"keyring"}


def test_a_token_costs_microseconds_when_there_are_many(tokens: AccessTokens) -> None:
    token = [tokens.add(f"t{number}", Role.VIEWER, now=NOW) for number in range(100)][-1]
    book, taken = tokens.book(), []
    for _ in range(50):
        began = time.process_time()
        assert book.caller(token, now=NOW) is not None
        taken.append(time.process_time() - began)
    assert statistics.median(taken) < 0.002
