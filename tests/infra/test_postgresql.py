"""A server that restarts, refuses, waits or is shut down, and what is said then."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from infra.database import Database, open_database
from infra.events import EventStore, ServedRequest
from infra.histories import HistoryEvent, HistoryStore
from infra.takedowns import TakedownStore
from recmodels.errors import StoreError
from tests.postgresql import PASSWORD, Server


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    opened = open_database(postgresql_url)
    yield opened
    opened.close()


@contextmanager
def stopped(server: Server, mode: str = "fast") -> Iterator[None]:
    server.stop(mode)
    try:
        yield
    finally:
        server.start()


def scalar(database: Database, query: str) -> object:
    with database.read() as connection:
        return connection.execute(text(query)).scalar()


def test_a_store_goes_on_by_itself_when_the_server_was_restarted(
    postgresql_server: Server, database: Database, now: datetime
) -> None:
    takedowns, histories = TakedownStore(database), HistoryStore(database)
    takedowns.block(["film-1"], reason="rights", by="a test", now=now)
    histories.append([HistoryEvent("a-key", "film-2", now, "video")])

    with stopped(postgresql_server):
        with pytest.raises(StoreError, match=r"cannot be used.*Check EVERFEED_DATABASE_URL and that the server is up"):
            takedowns.version()
        with pytest.raises(StoreError, match="that the server is up"):
            histories.last("a-key", limit=1)

    assert histories.last("a-key", limit=1).item_ids == ("film-2",)
    assert takedowns.block(["film-3"], reason="rights", by="a test", now=now) == 2


def test_no_call_fails_when_the_server_restarted_between_two(
    postgresql_server: Server, database: Database, now: datetime
) -> None:
    takedowns, histories = TakedownStore(database), HistoryStore(database)
    with database.read(), database.read():  # two connections wait in the pool
        pass
    with stopped(postgresql_server, "immediate"):
        pass
    assert histories.last("a-key", limit=1).item_ids == ()
    with stopped(postgresql_server):
        pass
    assert takedowns.block(["film-3"], reason="rights", by="a test", now=now) == 1


def test_nothing_is_kept_and_it_is_said_when_a_session_is_ended_in_a_transaction(database: Database) -> None:
    def fail() -> None:
        with database.begin() as connection:
            own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            connection.execute(text("INSERT INTO takedown_versions VALUES (1, 7)"))
            with database.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:own, 5000)"), {"own": own})
            connection.execute(text("INSERT INTO takedown_versions VALUES (2, 7)"))

    with pytest.raises(StoreError, match=r"was shut down meanwhile.*then try again"):
        fail()
    assert scalar(database, "SELECT count(*) FROM takedown_versions") == 0


@pytest.mark.parametrize(
    ("user", "password", "name", "words"),
    [
        (
            "everfeed",
            "s3cret-no",
            "postgres",
            r"refuses the user or the password.*Correct them in EVERFEED_DATABASE_URL",
        ),
        ("everfeed", "", "postgres", "refuses the user or the password"),
        ("nobody-here", "s3cret-no", "postgres", "refuses the user or the password"),
        ("lapsed", "s3cret-yes", "postgres", r"refuses.*VALID UNTIL"),
        ("everfeed", PASSWORD, "nowhere", r"does not exist on that server.*createdb"),
    ],
)
def test_what_is_wrong_is_said_without_the_password_when_it_is_refused(
    postgresql_server: Server, database: Database, user: str, password: str, name: str, words: str
) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS lapsed"))
        connection.execute(text("CREATE ROLE lapsed LOGIN PASSWORD 's3cret-yes' VALID UNTIL '2001-01-01'"))
    with pytest.raises(StoreError, match=words) as caught:
        open_database(postgresql_server.url(name, user=user, password=password))
    assert "s3cret" not in str(caught.value)
    assert "p@ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?password=s3cret", r"option 'password'.*not known.*before the host"),
        ("?sslmode=perhaps", r"sslmode 'perhaps'.*verify-full"),
        ("?sslmode=require", r"cannot be used.*SSL"),
    ],
)
def test_an_option_of_the_url_is_refused_when_it_is_not_known_or_not_to_be_had(
    postgresql_server: Server, query: str, words: str
) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_database(postgresql_server.url() + query)
    assert "s3cret" not in str(caught.value)


def test_a_lock_that_is_never_given_is_explained(postgresql_url: str, database: Database) -> None:
    impatient = open_database(f"{postgresql_url}?lock_timeout=50")
    with (
        database.begin(lock="rollouts"),
        pytest.raises(StoreError, match=r"stayed locked.*pg_stat_activity"),
        impatient.begin(lock="rollouts"),
    ):
        pass
    impatient.close()


def test_a_statement_that_takes_too_long_is_explained(postgresql_url: str) -> None:
    impatient = open_database(f"{postgresql_url}?statement_timeout=50")
    with pytest.raises(StoreError, match=r"did not answer.*statement_timeout"):
        scalar(impatient, "SELECT pg_sleep(5)")
    assert scalar(impatient, "SELECT 1") == 1
    impatient.close()


def test_the_limits_hold_for_every_session_and_commits_are_synced(database: Database) -> None:
    found = {name: scalar(database, f"SHOW {name}") for name in ("lock_timeout", "statement_timeout")}
    assert found == {"lock_timeout": "30s", "statement_timeout": "1min"}
    assert scalar(database, "SHOW synchronous_commit") == "on"


def test_commits_wait_for_the_disk_when_the_server_was_told_not_to_wait(
    postgresql_url: str, database: Database
) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER ROLE everfeed SET synchronous_commit = off"))
    try:
        synced, relaxed = open_database(postgresql_url), open_database(postgresql_url, is_synced=False)
        assert [scalar(one, "SHOW synchronous_commit") for one in (synced, relaxed)] == ["on", "off"]
        synced.close()
        relaxed.close()
    finally:
        with database.begin() as connection:
            connection.execute(text("ALTER ROLE everfeed RESET synchronous_commit"))


def test_an_error_has_the_kind_of_its_sqlstate(database: Database) -> None:
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text("INSERT INTO takedown_versions VALUES (1, 7), (1, 8)"))
    with pytest.raises(ProgrammingError), database.begin() as connection:
        connection.execute(text("SELECT nonsense"))


def test_a_reading_transaction_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="read-only"), database.read() as connection:
        connection.execute(text("INSERT INTO takedown_versions VALUES (1, 7)"))


def test_writers_of_the_same_users_never_wait_for_each_other_in_a_circle(database: Database, now: datetime) -> None:
    store, together = EventStore(database), threading.Barrier(4)
    users = [f"user-{number}" for number in range(40)]

    def append(writer: int) -> int:
        kept = 0
        for turn in range(6):
            order = users if writer % 2 else users[::-1]
            rows = [served(f"{writer}-{turn}-{user}", f"{turn}-{user}", now=now) for user in order]
            together.wait(20)
            kept += store.append_requests(rows)
        return kept

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(append, range(4))) == [240] * 4
    assert scalar(database, "SELECT count(*) FROM user_keys") == 240


def served(request_id: str, user: str, *, now: datetime) -> ServedRequest:
    return ServedRequest(
        request_id=request_id,
        timestamp=now,
        user_key=f"key-of-{user}",
        user_id=user,
        surface="video",
        model_version="1",
        arm="rest",
        item_ids=("film-1",),
        scores=(1.0,),
        propensities=(1.0,),
        num_requested=1,
        latency_seconds=0.01,
    )
