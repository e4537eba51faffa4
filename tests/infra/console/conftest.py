import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flows.control_room import desk
from infra.console.app import create_app
from infra.database import open_database
from infra.serving.app import create_app as create_gateway
from infra.settings import Settings
from tests.infra.gateway_home import SECRET, TOKEN, Home, serve

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading certificates takes longer than a test


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
def settings(home: Home, gateway_port: int, sqlite_url: str) -> Settings:
    """No other service listens where these say."""
    return Settings(
        home=home.folder,
        database_url=sqlite_url,
        gateway_port=gateway_port,
        prefect_port=1,
        mlflow_port=1,
        write_token=SecretStr(TOKEN),
        user_key_secret=SecretStr(SECRET.decode()),
    )


@pytest.fixture
def client(home: Home, settings: Settings) -> Iterator[httpx.Client]:
    """A browser on this machine; pages of its own origin alone may send forms."""
    app = create_app(settings, home.database, desk(settings, home.database))
    with (
        serve(app) as url,
        httpx.Client(base_url=url, trust_env=False, verify=_NOBODY, headers={"origin": url}) as made,
    ):
        yield made


@pytest.fixture
def operator(client: httpx.Client) -> httpx.Client:
    """The same browser, signed in with the home's own token."""
    answer = client.post("/sign-in", data={"token": TOKEN, "next": "/"})
    assert answer.status_code == 303, answer.text
    return client
