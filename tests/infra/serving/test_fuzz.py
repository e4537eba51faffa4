from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz_gateway import Tally, by_bytes, by_schema
from infra.database import open_database
from infra.serving.app import create_app
from tests.infra.gateway_home import SECRET, TOKEN, Home, serve

# The server runs in this process: what its threads draw while a request is made up is not drawn by a strategy.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a champion and a challenger at 50 %."""
    folder: Path = tmp_path_factory.mktemp("home")
    database = open_database(f"sqlite:///{folder / 'everfeed.db'}")
    home = Home(folder, database)
    home.crown()
    home.challenge()
    app = create_app(database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as address:
        yield address
    database.close()


def test_answers_as_documented_and_without_a_server_error_when_requests_follow_or_break_the_contract(url: str) -> None:
    tally = Tally()

    by_schema(url, tally, count=150, token=TOKEN)

    assert tally.num_sent >= 130
    assert tally.failures == []
    assert tally.broken_promises == []
    assert {200, 400, 401, 422} <= tally.statuses.keys()


def test_never_answers_with_a_server_error_when_the_bytes_are_broken(url: str) -> None:
    tally = Tally()

    by_bytes(int(url.rpartition(":")[2]), tally, count=300)

    assert tally.num_sent >= 300
    assert tally.failures == []
    assert {200, 400, 413, 421, 422} <= tally.statuses.keys()


def test_counts_a_server_error_as_a_failure_unless_it_says_when_to_come_back() -> None:
    tally = Tally()

    for status, headers in ((500, ""), (503, "content-length: 0"), (503, "Retry-After: 1"), (200, ""), (502, "")):
        tally.note(status, headers, lambda status=status: f"request {status}")

    assert [failure.split(":")[0] for failure in tally.failures] == ["500", "503", "502"]
    assert tally.statuses == {500: 1, 503: 2, 200: 1, 502: 1}
