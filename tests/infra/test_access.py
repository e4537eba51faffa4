"""Who a token lets in, and when no longer."""

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import select

from infra.access import AccessTokens, Caller, Role, access_tokens
from infra.database import Database
from recmodels.errors import StoreError

Later = Callable[[float], datetime]
DAY = 86_400.0


@pytest.fixture
def tokens(database: Database) -> AccessTokens:
    return AccessTokens(database, master="the write token")


def test_a_token_tells_whose_it_is_and_only_its_digest_is_kept(
    tokens: AccessTokens, database: Database, now: datetime
) -> None:
    ana, grafana = tokens.add("ana", Role.OPERATOR, now=now), tokens.add("grafana", Role.VIEWER, now=now)

    assert tokens.caller(ana, now=now) == Caller("ana", Role.OPERATOR)
    assert tokens.caller(grafana, now=now) == Caller("grafana", Role.VIEWER)
    assert tokens.caller("the write token", now=now) == Caller("owner", Role.OPERATOR)
    for wrong in (
        "",
        "the write toke",
        ana[:-1],
        ana.upper(),
        f"{ana} ",
        "\udcff",
        hashlib.sha256(ana.encode()).hexdigest(),
    ):
        assert tokens.caller(wrong, now=now) is None
    with database.read() as connection:
        kept = connection.execute(select(access_tokens).order_by(access_tokens.c.id)).all()
    assert [row.digest for row in kept] == [hashlib.sha256(one.encode()).hexdigest() for one in (ana, grafana)]
    assert ana not in str(kept)


def test_a_token_ends_when_its_days_are_over_or_it_is_revoked(
    tokens: AccessTokens, now: datetime, later: Later
) -> None:
    short, long = tokens.add("short", Role.VIEWER, now=now, days=1), tokens.add("long", Role.SERVICE, now=now)

    assert tokens.caller(short, now=later(DAY - 1)) == Caller("short", Role.VIEWER)
    assert tokens.caller(short, now=later(DAY)) is None
    tokens.revoke("long", now=later(5))
    assert tokens.caller(long, now=later(5)) is None
    assert [(one.name, one.is_valid(now=later(5)), one.revoked_at) for one in tokens.tokens()] == [
        ("long", False, later(5)),
        ("short", True, None),
    ]
    for name in ("long", "nobody"):
        with pytest.raises(StoreError, match=f"no valid token named '{name}'"):
            tokens.revoke(name, now=later(6))


def test_a_name_is_free_again_when_its_token_has_ended(tokens: AccessTokens, now: datetime, later: Later) -> None:
    first = tokens.add("ana", Role.OPERATOR, now=now, days=2)
    with pytest.raises(StoreError, match=r"token named 'ana' already.*everfeed tokens revoke ana"):
        tokens.add("ana", Role.VIEWER, now=later(1))

    second = tokens.add("ana", Role.VIEWER, now=later(2 * DAY))
    assert tokens.caller(first, now=later(2 * DAY)) is None
    tokens.revoke("ana", now=later(2 * DAY + 1))
    third = tokens.add("ana", Role.OPERATOR, now=later(2 * DAY + 2))
    assert [tokens.caller(one, now=later(2 * DAY + 3)) for one in (first, second, third)] == [
        None,
        None,
        Caller("ana", Role.OPERATOR),
    ]


@pytest.mark.parametrize("name", ["", "Ana", "a b", "../x", "a\n", "-a", "ä", "a" * 65, "owner"])
def test_a_name_is_refused_when_it_cannot_be_one(tokens: AccessTokens, now: datetime, name: str) -> None:
    with pytest.raises(StoreError, match=r"is no name of a token|holds the write token"):
        tokens.add(name, Role.VIEWER, now=now)
    assert tokens.tokens() == []


def test_bad_days_and_an_empty_write_token_are_refused(tokens: AccessTokens, database: Database, now: datetime) -> None:
    for days in (0, -1, 3651):
        with pytest.raises(StoreError, match="cannot live"):
            tokens.add("ana", Role.VIEWER, now=now, days=days)
    with pytest.raises(ValueError, match="write token is empty"):
        AccessTokens(database, master="")


def test_each_role_may_do_what_those_before_it_may() -> None:
    assert [[has.covers(needed) for needed in Role] for has in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_one_of_two_wins_when_both_take_a_name_at_once(
    tokens: AccessTokens, database_again: Database, now: datetime
) -> None:
    both = (tokens, AccessTokens(database_again, master="the write token"))
    barrier, refused = threading.Barrier(2), []

    def add(store: AccessTokens) -> None:
        barrier.wait()
        try:
            store.add("ana", Role.VIEWER, now=now)
        except StoreError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=add, args=(store,)) for store in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert [one.name for one in tokens.tokens()] == ["ana"]
