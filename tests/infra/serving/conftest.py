from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.database import open_database
from infra.serving.app import create_app
from tests.infra.gateway_home import SECRET, TOKEN, Home, serve


@pytest.fixture
def home(tmp_path: Path, sqlite_url: str) -> Iterator[Home]:
    database = open_database(sqlite_url)
    yield Home(tmp_path, database)
    database.close()


@pytest.fixture
def client(home: Home) -> Iterator[httpx.Client]:
    """A client of a real server over `home`; what the test sets up before its first request is there at the start."""
    app = create_app(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as made:
        yield made


@pytest.fixture
def served(home: Home, request: pytest.FixtureRequest) -> httpx.Client:
    """A server that starts with a champion."""
    home.crown()
    client: httpx.Client = request.getfixturevalue("client")
    return client


@pytest.fixture
def rolling(home: Home, request: pytest.FixtureRequest) -> httpx.Client:
    """A server that starts with a champion and a challenger at 50 %."""
    home.crown()
    home.challenge()
    client: httpx.Client = request.getfixturevalue("client")
    return client
