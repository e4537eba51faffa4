"""Places, ports and secrets."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.services import stack_services
from infra.settings import Settings


def test_everything_lives_in_one_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    assert settings.database == f"sqlite:///{tmp_path}/home/everfeed.db"
    assert settings.mlflow == f"sqlite:///{tmp_path}/home/mlflow.db"
    assert settings.lake == f"{tmp_path}/home/lake"
    for folder in (settings.artifacts, settings.bundles, settings.runs, settings.reports, settings.logs):
        assert folder.parent == tmp_path / "home"


def test_environment_decides_when_it_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path))
    monkeypatch.setenv("EVERFEED_DATABASE_URL", "postgresql://host/name")
    monkeypatch.setenv("EVERFEED_GATEWAY_PORT", "9000")
    settings = Settings()
    assert (settings.root, settings.database, settings.gateway_port) == (tmp_path, "postgresql://host/name", 9000)


def test_port_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFEED_GATEWAY_PORT", "70000")
    with pytest.raises(ValidationError, match="gateway_port"):
        Settings()


def test_secrets_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: Settings(home=tmp_path).token(), range(8)))
    assert len(tokens) == 1
    assert Settings(home=tmp_path).user_secret() != tokens.pop().encode()
    files = list((tmp_path / "secrets").iterdir())
    assert sorted(file.name for file in files) == ["user_key_secret", "write_token"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, write_token="hush")  # type: ignore[arg-type]
    assert settings.token() == "hush"
    assert "hush" not in repr(settings)
    assert not (tmp_path / "secrets").exists()


def test_kept_secret_is_for_its_owner_only_and_replaces_the_one_before(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.keep_secret("slack_url", "first")
    settings.keep_secret("slack_url", "second")
    path = settings.secret_file("slack_url")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("second", 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["slack_url"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_secret_outside_of_its_folder_has_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a secret"):
        Settings(home=tmp_path).secret_file(name)


def test_passwords_of_databases_are_not_shown_and_each_library_has_its_driver(tmp_path: Path) -> None:
    url = "postgresql://me:hush@host/name"
    settings = Settings(
        home=tmp_path,
        database_url=url,
        mlflow_url=url,
        search_url=url,
        prefect_database_url="postgres://me:hush@host/p",
    )
    assert "hush" not in repr(settings)
    assert settings.database == url
    assert settings.mlflow == settings.studies == "postgresql+pg8000://me:hush@host/name"
    environment = settings.environment()
    assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://me:hush@host/p"
    assert environment["MLFLOW_BACKEND_STORE_URI"] == settings.mlflow
    assert not any("hush" in word for service in stack_services(settings) for word in service.command)


def test_a_url_of_another_kind_stays_as_it_is() -> None:
    assert Settings(mlflow_url="http://mlflow:5000").mlflow == "http://mlflow:5000"
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in Settings().environment()
