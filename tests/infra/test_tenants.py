"""Names of tenants, their namespaces, and their quotas."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra.settings import Settings
from infra.tenants import (
    QuotaExceededError,
    Quotas,
    check_lake,
    check_name,
    check_versions,
    derived,
    schema_of,
    training_slot,
)

TRICKS = (
    *("", " ", ".", "..", "../b", "a/../b", "/b", "a\\b", "b/", "B", "Ab", "ä", "а", "a b", "a\n", "\na", "a\x00"),
    *("a_b", "a.b", "-a", "a-", "a--b", "1a", "a%2fb", "~a", "$HOME", "a" * 33, "ａ"),
)


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_is_refused_when_it_could_reach_elsewhere_or_be_mistaken(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a tenant"):
        check_name(name)
    with pytest.raises(ValidationError, match="is no name of a tenant"):
        Settings(home=tmp_path, tenant=name)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_variable_is_refused_rather_than_taken_for_no_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERFEED_TENANT", "")
    with pytest.raises(ValidationError, match="unset EVERFEED_TENANT"):
        Settings(home=tmp_path)


def test_everything_of_a_tenant_is_in_its_own_folder_and_schema(tmp_path: Path) -> None:
    a, b = (Settings(home=tmp_path, tenant=name) for name in ("a", "shop-eu"))
    assert a.root == tmp_path / "tenants" / "a"
    places = ("database", "mlflow", "studies", "lake", "bundles", "runs", "reports", "artifacts", "receipts", "logs")
    for place in places:
        assert str(a.root) in str(getattr(a, place))
        assert getattr(a, place) != getattr(b, place)
    assert (a.named("everfeed"), Settings(home=tmp_path / "own").named("everfeed")) == ("a.everfeed", "everfeed")
    again = a.environment()
    assert (again["EVERFEED_HOME"], again["EVERFEED_TENANT"]) == (str(tmp_path), "a")
    assert "EVERFEED_TENANT" not in Settings(home=tmp_path / "own").environment()

    url = "postgresql://me:hush@host/name"
    shared: dict[str, Any] = {"home": tmp_path, "database_url": f"{url}?sslmode=require", "lake_path": "/srv/lake/"}
    of_b = Settings(tenant="shop-eu", **shared)
    assert of_b.database == f"{url}?sslmode=require&schema=tenant_shop_eu"
    assert Settings(home=tmp_path, tenant="a", database_url=url).database == f"{url}?schema=tenant_a"
    assert of_b.lake == "/srv/lake/tenants/shop-eu"


def test_secrets_of_the_environment_differ_by_tenant(tmp_path: Path) -> None:
    given: dict[str, Any] = {"home": tmp_path, "write_token": "hush", "user_key_secret": "hush"}
    found = [Settings(tenant=name, **given) for name in ("a", "b")]
    secrets = {one.token() for one in found} | {one.user_secret().decode() for one in found}
    assert len(secrets) == 4
    assert "hush" not in secrets
    assert Settings(tenant="a", **given).token() == found[0].token()
    # openssl dgst -sha256 -mac HMAC -macopt key:hush, of 'everfeed tenant a write token' and a byte 1
    assert derived("hush", tenant="a", purpose="write token") == "HONKnE3StlL9f3r4Hx520i6As1qH-anS0UCKgA_YI9A"


def test_a_home_is_of_tenants_or_of_its_own(tmp_path: Path) -> None:
    Settings(home=tmp_path, tenant="a").token()
    with pytest.raises(ValidationError, match=r"is shared by tenants \(a\), and none is named"):
        Settings(home=tmp_path)
    own = tmp_path / "own"
    Settings(home=own).token()
    with pytest.raises(ValidationError, match="has no tenants"):
        Settings(home=own, tenant="a")


@pytest.mark.parametrize(
    ("url", "words"), [("sqlite:////tmp/x.db", "share a PostgreSQL"), ("postgresql://h/n?schema=public", "take it out")]
)
def test_a_database_that_tenants_would_share_is_refused(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(home=tmp_path, tenant="a", database_url=url)


def test_a_database_of_prefect_is_named_after_its_tenant(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"name the database 'prefect_shop_eu' for tenant 'shop-eu'") as refused:
        Settings(home=tmp_path, tenant="shop-eu", prefect_database_url="postgresql://me:hush@h/prefect?sslmode=require")
    assert "hush" not in str(refused.value)
    Settings(home=tmp_path, tenant="shop-eu", prefect_database_url="postgresql://h/prefect_shop_eu?sslmode=require")


def test_schemas_are_names_that_postgresql_takes_as_they_are() -> None:
    assert schema_of("shop-eu-2") == "tenant_shop_eu_2"


def test_a_full_lake_takes_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "interactions").mkdir()
    (tmp_path / "interactions" / "part").write_bytes(b"x" * 2_000_000)
    check_lake(tmp_path, Quotas())
    check_lake(tmp_path, Quotas(lake_megabytes=2.1))
    check_lake(tmp_path / "none yet", Quotas(lake_megabytes=2.0))
    with pytest.raises(QuotaExceededError, match=r"takes 2\.0 MB, and the quota is 2 MB: nothing was ingested"):
        check_lake(tmp_path, Quotas(lake_megabytes=2.0))


def test_one_version_more_than_the_quota_is_refused() -> None:
    check_versions(10_000, Quotas())
    check_versions(2, Quotas(versions=3))
    with pytest.raises(QuotaExceededError, match="holds 3 model versions, and the quota is 3"):
        check_versions(3, Quotas(versions=3))


def test_one_training_more_than_the_quota_is_refused_until_one_is_done(tmp_path: Path) -> None:
    two = Quotas(trainings=2)
    with training_slot(tmp_path, two):
        with training_slot(tmp_path, two):
            with pytest.raises(QuotaExceededError, match="2 trainings run already"), training_slot(tmp_path, two):
                raise AssertionError("a third place")
            with training_slot(tmp_path / "b", two), training_slot(tmp_path, Quotas()):
                pass
        with training_slot(tmp_path, two):
            pass


@pytest.mark.parametrize("text", ['{"trainings": -1}', '{"gigabytes": 3}'])
def test_a_wrong_quota_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("EVERFEED_QUOTAS", text)
    with pytest.raises(ValidationError, match="quotas"):
        Settings(home=tmp_path)
