from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.console.app import create_app
from infra.database import open_database
from infra.serving.app import create_app as create_gateway
from infra.settings import Settings
from tests.infra.gateway_home import SECRET, TOKEN, Home, serve


@pytest.fixture
def home(tmp_path: Path, sqlite_url: str) -> Iterator[Home]:
    database = open_database(sqlite_url)
    yield Home(tmp_path, database)
    database.close()


@pytest.fixture
def gateway(home: Home) -> Iterator[str]:
    """Address of a running gateway over `home`."""
    with serve(create_gateway(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)) as url:
        yield url


@pytest.fixture
def gateway_port() -> int:
    """Where the control room looks for the gateway: by default, where nothing is."""
    return 1


@pytest.fixture
def client(home: Home, gateway_port: int) -> Iterator[httpx.Client]:
    settings = Settings(home=home.folder, gateway_port=gateway_port)
    with serve(create_app(settings, home.database)) as url, httpx.Client(base_url=url, trust_env=False) as made:
        yield made
