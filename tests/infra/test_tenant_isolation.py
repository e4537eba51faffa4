"""Two tenants on one home, one database and one MLflow: what one has, the other neither sees nor touches."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, make_url, select, text

import tests.infra.test_database  # noqa: F401 - which imports every store, and so its tables
from infra.access import AccessTokens, Role
from infra.audit_log import AuditLog
from infra.columns import metadata
from infra.database import Database, open_database
from infra.erasures import ErasureStore
from infra.garbage import Needs, find, remove
from infra.histories import HistoryEvent, HistoryStore
from infra.lake import Lake
from infra.model_registry import ModelRegistry
from infra.rollouts import ModelReference, Plan, RolloutStore
from infra.segments import SegmentStore
from infra.serving.app import create_app
from infra.settings import Settings
from infra.takedowns import TakedownStore
from infra.tracking import Tracker
from recmodels.data.schema import INTERACTIONS, ITEMS
from recmodels.errors import StoreError
from tests.infra.gateway_home import serve

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
USER = "u7"


@dataclass
class Tenant:
    """A tenant with every store open."""

    settings: Settings
    database: Database

    @property
    def rollouts(self) -> RolloutStore:
        return RolloutStore(self.database)

    @property
    def tracker(self) -> Tracker:
        return Tracker(
            self.settings.mlflow, artifacts=self.settings.artifacts, experiment=self.settings.named("everfeed")
        )

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.settings.mlflow, self.settings.named("everfeed"))

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake)

    def rows(self) -> dict[str, list[Any]]:
        """Everything in the tables."""
        with self.database.read() as connection:
            return {table.name: list(connection.execute(select(table))) for table in metadata.sorted_tables}

    def live(self, seed: str) -> None:
        """Leave something in every kind of store."""
        now = NOW
        AuditLog(self.database).append(actor="cli:x", action="gc", subject=seed, outcome="done", words="", now=now)
        TakedownStore(self.database).block([f"item-{seed}"], reason="rights", by="x", now=now)
        SegmentStore(self.database).append(
            pa.Table.from_pylist([{"item_id": f"new-{seed}", "safety": "ok"}], schema=ITEMS), by="x", now=now
        )
        HistoryStore(self.database).append([HistoryEvent("the-key", f"item-{seed}", now, "video")])
        self.rollouts.set_bootstrap_champion(ModelReference(seed * 64, 1), now=now, by="x", reason="first")
        plan = Plan(f"rollout-{seed}", ModelReference("f" * 64, 2), steps=(0.1,), config={}, cause="x")
        self.rollouts.start(plan, now=now, by="x")
        row = {
            "user_id": USER,
            "item_id": f"item-{seed}",
            "timestamp": now,
            "event_id": f"e-{seed}",
            "surface": "video",
            "origin": "x",
        }
        self.lake.append("interactions", pa.Table.from_pylist([row], schema=INTERACTIONS))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def tenants(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[tuple[Tenant, Tenant]]:
    shared: dict[str, Any] = {"home": tmp_path / "home"}
    if request.param == "postgresql":
        shared["database_url"] = request.getfixturevalue("fresh_postgresql")
    made = []
    for name in ("a", "b"):
        settings = Settings(tenant=name, **shared)
        settings.root.mkdir(parents=True)
        if request.param == "sqlite":
            shutil.copy(sqlite_template, settings.root / "everfeed.db")
        made.append(Tenant(settings, open_database(settings.database)))
    yield made[0], made[1]
    for one in made:
        one.database.close()


def test_what_one_tenant_has_the_other_does_not_see(tenants: tuple[Tenant, Tenant]) -> None:
    a, b = tenants
    empty = b.rows()
    a.live("a")

    assert b.rows() == empty
    assert b.rollouts.active() is None
    assert b.rollouts.champion() is None
    assert b.lake.version("interactions") is None
    b.live("b")
    assert [one.challenger.version for one in b.rollouts.rollouts()] == [2]
    assert [one.rollout_id for one in a.rollouts.rollouts()] == ["rollout-a"]
    assert a.lake.read("interactions")["item_id"].to_pylist() == ["item-a"]
    for one, other in ((a, "item-b"), (b, "item-a")):
        assert other not in str(one.rows())


def test_what_one_tenant_does_leaves_the_other_as_it_was(tenants: tuple[Tenant, Tenant]) -> None:
    a, b = tenants
    for one, seed in ((a, "a"), (b, "b")):
        one.live(seed)
        (one.settings.root / "logs").mkdir()
        (one.settings.root / "logs" / "old.log").write_text(seed)
    before, rows = _digests(b), b.rows()

    ErasureStore(a.database).begin("the-key", by="x", now=NOW)
    a.lake.erase_user(USER, user_key="the-key", now=NOW)
    a.rollouts.roll_back("rollout-a", fencing=None, now=NOW, by="x", reason="bad")
    TakedownStore(a.database).lift(["item-a", "item-b"])
    a.database.scrub()

    assert a.lake.read("interactions").num_rows == 0
    assert (_digests(b), b.rows()) == (before, rows)


def test_a_token_of_one_tenant_is_refused_at_the_gateway_of_another(tenants: tuple[Tenant, Tenant]) -> None:
    a, b = tenants
    now = datetime.now(UTC)
    of_a = AccessTokens(a.database, master=a.settings.token()).add("ana", Role.OPERATOR, now=now)
    of_b = AccessTokens(b.database, master=b.settings.token()).add("ana", Role.OPERATOR, now=now)
    gateway = create_app(
        b.database, bundles=b.settings.bundles, token=b.settings.token(), user_secret=b.settings.user_secret()
    )
    with serve(gateway) as url, httpx.Client(base_url=url, trust_env=False) as client:

        def status(token: str) -> int:
            body = {"item_ids": ["film-07"], "reason": "rights"}
            return client.post(
                "/v1/admin/takedown", json=body, headers={"Authorization": f"Bearer {token}"}
            ).status_code

        assert [status(token) for token in (of_a, a.settings.token())] == [401, 401]
        assert [status(token) for token in (of_b, b.settings.token())] == [200, 200]
    assert TakedownStore(a.database).takedowns() == []


def test_an_owner_of_one_tenant_is_nobody_in_another_when_the_environment_gives_one_token_for_all(
    tmp_path: Path,
) -> None:
    shared: dict[str, Any] = {"home": tmp_path, "write_token": "one for all"}
    a, b = (Settings(tenant=name, **shared) for name in ("a", "b"))
    database = open_database(b.database)
    tokens = AccessTokens(database, master=b.token())
    assert [tokens.caller(token, now=NOW) is None for token in (a.token(), "one for all", b.token())] == [
        True,
        True,
        False,
    ]
    database.close()


@pytest.fixture
def both_in_mlflow(mlflow_uri: str, tmp_path: Path) -> Iterator[tuple[Tenant, Tenant]]:
    """Two tenants that share MLflow's database."""
    made = []
    for name in ("a", "b"):
        settings = Settings(home=tmp_path / "home", tenant=name, mlflow_url=mlflow_uri)
        made.append(Tenant(settings, open_database(settings.database)))
    yield made[0], made[1]
    for one in made:
        one.database.close()


@pytest.mark.slow
def test_runs_and_versions_of_one_tenant_are_unknown_to_the_other(both_in_mlflow: tuple[Tenant, Tenant]) -> None:
    a, b = both_in_mlflow
    run = a.tracker.lifecycle_run("the key", name="of a", tags={})
    a.registry.register("d" * 64, run_id=run, source=str(a.settings.bundles / "d"), tags={})

    assert (b.registry.versions(), b.registry.version_of("d" * 64), b.tracker.kept()) == ([], None, [])
    assert b.tracker.find(run) is None
    assert b.tracker.lifecycle_run("the key", name="of b", tags={}) != run
    found = a.tracker.find(run)
    assert found is not None
    assert found.name == "of a"
    assert [one.name for one in a.tracker.kept()] == ["of a"]


def test_gc_of_one_tenant_removes_nothing_of_the_other(tenants: tuple[Tenant, Tenant]) -> None:
    a, b = tenants
    for one in (a, b):
        for place in ("staging/old", f"bundles/{'e' * 64}", "runs/old"):
            (one.settings.root / place).mkdir(parents=True)
            (one.settings.root / place / "part.partial").write_text("left over")
    before, later = _digests(b), datetime.now(UTC) + timedelta(days=400)

    def look() -> list[Any]:
        return find(a.settings, Needs(), age=timedelta(days=30), history=timedelta(days=90), now=later)

    removed = remove(a.settings, [one for one in look() if one.goes], look)
    assert removed.findings
    assert not list((a.settings.root / "staging").iterdir())
    assert _digests(b) == before


@pytest.mark.slow
def test_a_schema_holds_a_tenants_tables_and_public_none(tenants: tuple[Tenant, Tenant]) -> None:
    a, _ = tenants
    if a.database.engine.dialect.name != "postgresql":
        pytest.skip("schemas are PostgreSQL's")
    url = make_url(str(a.settings.database_url)).set(drivername="postgresql+pg8000")
    engine = create_engine(url)
    with engine.connect() as connection:
        query = text(
            "SELECT table_schema, count(*) FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema') GROUP BY 1 ORDER BY 1"
        )
        found = [(row[0], row[1]) for row in connection.execute(query)]
    engine.dispose()
    assert found == [("tenant_a", len(metadata.tables) + 1), ("tenant_b", len(metadata.tables) + 1)]


def _digests(tenant: Tenant) -> dict[str, str]:
    """What each file of a tenant holds; what SQLite has in its log is read through the tables instead."""
    files = [path for path in sorted(tenant.settings.root.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(tenant.settings.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.endswith("-shm")
    }


@pytest.mark.slow
def test_a_role_of_its_own_cannot_reach_another_schema_even_by_name(fresh_postgresql: str, tmp_path: Path) -> None:
    b = Settings(home=tmp_path / "home", tenant="b", database_url=fresh_postgresql)
    open_database(b.database).close()
    admin = make_url(fresh_postgresql)
    engine = create_engine(admin.set(drivername="postgresql+pg8000"))
    own = admin.set(username="only_a", password="hush").render_as_string(hide_password=False)
    a = Settings(home=tmp_path / "home", tenant="a", database_url=own)
    try:
        with engine.begin() as connection:
            connection.execute(text("CREATE ROLE only_a LOGIN PASSWORD 'hush'"))
        with pytest.raises(StoreError, match=r"CREATE SCHEMA tenant_\.\.\. AUTHORIZATION") as refused:
            open_database(a.database)
        assert "hush" not in str(refused.value)
        with engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA tenant_a AUTHORIZATION only_a"))
        database = open_database(a.database)
        Tenant(a, database).live("a")
        with pytest.raises(StoreError, match="does not let this user do that"), database.read() as reading:
            reading.execute(text("SELECT * FROM tenant_b.takedowns"))
        database.close()
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY only_a CASCADE"))
            connection.execute(text("DROP ROLE only_a"))
        engine.dispose()
