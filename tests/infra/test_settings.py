"""Places, ports and secrets."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from flows.services import stack_services
from infra.object_store import ObjectStore
from infra.settings import Settings
from recmodels.errors import StoreError


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


def test_an_object_store_is_named_by_own_variables_or_by_those_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://store:9000",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "known",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_SESSION_TOKEN": "passing",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "http://s3:9000",
    }.items():
        monkeypatch.setenv(name, value)
    assert Settings().object_store == ObjectStore("http://s3:9000", "eu-west-1", "known", "hush", "passing")
    monkeypatch.setenv("EVERFEED_S3_ACCESS_KEY_ID", "own")
    monkeypatch.setenv("EVERFEED_S3_SECRET_ACCESS_KEY", "own hush")
    monkeypatch.setenv("EVERFEED_S3_REGION", "us-east-2")
    own = Settings(lake_url="s3://bucket/lake")
    assert own.object_store == ObjectStore("http://s3:9000", "us-east-2", "own", "own hush")  # not another key's token
    assert "hush" not in repr(own)
    assert own.environment()["AWS_ACCESS_KEY_ID"] == "own"
    assert own.lake == "s3://bucket/lake"


def test_half_a_key_and_two_lakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="EVERFEED_S3_SECRET_ACCESS_KEY is missing"):
        _ = Settings(s3_access_key_id=SecretStr("a")).lake_place
    with pytest.raises(StoreError, match=r"EVERFEED_LAKE_URL \(s3://bucket/lake\) and EVERFEED_LAKE_PATH"):
        _ = Settings(lake_url="s3://bucket/lake", lake_path=str(tmp_path)).lake


def test_secrets_come_from_files_of_their_names_where_a_folder_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "everfeed_database_url").write_text("postgresql://me:hush@host/name\n")
    (tmp_path / "everfeed_write_token").write_text("of a file")
    monkeypatch.setenv("EVERFEED_SECRETS_DIR", str(tmp_path))
    assert Settings().database == "postgresql://me:hush@host/name"
    assert Settings(home=tmp_path / "home").token() == "of a file"
    monkeypatch.setenv("EVERFEED_WRITE_TOKEN", "of a variable")
    assert Settings().token() == "of a variable"
