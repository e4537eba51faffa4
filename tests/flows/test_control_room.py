"""What the control room is given from above, and what it does with a real Prefect server."""

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pydantic import SecretStr

from flows.control_room import desk
from flows.following import Decided, keep_figures
from flows.wiring import Platform
from infra.console.app import create_app
from infra.console.prefect_client import PrefectClient
from infra.database import Database, open_database
from infra.figures import FigureStore
from infra.lake import Lake
from infra.releases import ReleaseStore
from infra.rollouts import ModelReference, Plan, RecordedVerdict, Rollout, RolloutStore
from infra.settings import Settings
from monitoring.canary.arms import CanaryConfig
from monitoring.quarantine import ROW_ID, describe, keep_back
from monitoring.result import CheckResult, FigureHistory, Status
from recmodels.errors import StoreError
from tests.flows.homes import api
from tests.infra.console.reading import agree, load_settled
from tests.infra.gateway_home import NOW, TOKEN, items_table, serve

LOOK = RecordedVerdict(
    at=NOW,
    step=0,
    action="continue",
    rule="too_early",
    words="it goes on",
    users_canary=1000,
    users_control=1000,
    estimate=0.02,
    lower=-0.04,
    upper=0.08,
    relative=0.1,
    e_values={"error": 200.0**0.5, "sample_ratio": 1.0},
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", prefect_port=1, mlflow_port=1, gateway_port=1)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    settings.root.mkdir(parents=True)
    opened = open_database(settings.database)
    yield opened
    opened.close()


def rollout(database: Database) -> Rollout:
    store = RolloutStore(database)
    store.set_bootstrap_champion(ModelReference("a" * 64, 1), now=NOW, by="release", reason="bootstrap")
    config = CanaryConfig(steps=(0.1, 0.5), delta=0.05, tolerance=0.0, guardrail_alpha=0.005).model_dump(mode="json")
    return store.start(Plan("r", ModelReference("b" * 64, 2), steps=(0.1, 0.5), config=config), now=NOW, by="a test")


def test_terms_of_a_look_are_those_that_the_judge_weighed(settings: Settings, database: Database) -> None:
    terms = desk(settings, database).terms(rollout(database), LOOK)

    near = {limit.rule: (limit.value, limit.limit, limit.nearness) for limit in terms.limits}
    # the control's ratio is 0.02 / 0.1 = 0.2: the bounds are -20 % and +40 % of it
    assert near["primary_worse"] == pytest.approx((0.4, 0.0, 0.0))
    assert near["non_inferior"] == pytest.approx((-0.2, -0.05, 0.15 / 0.3))
    assert near["guardrail:error"] == pytest.approx((200**0.5, 200, 0.5))
    assert terms.next_rule == "guardrail:error"
    assert (terms.delta, terms.tolerance) == (0.05, 0.0)


def test_terms_before_the_first_look_name_the_deadline(settings: Settings, database: Database) -> None:
    known = rollout(database)

    terms = desk(settings, database).terms(known, None)

    assert (terms.limits, terms.next_rule) == ((), "")
    assert terms.deadline_at == NOW + timedelta(seconds=CanaryConfig().deadline_seconds)


def test_counts_what_is_quarantined_and_what_was_released(settings: Settings, database: Database) -> None:
    given = desk(settings, database)
    assert given.quarantine() == []
    rows = items_table().slice(0, 3)
    kept = keep_back(rows, reasons=pa.array(["no id", "no id", "too long"]), name="items", at=NOW)
    Lake(settings.lake).append("quarantine", kept, key="a")
    later = keep_back(rows.slice(0, 1), reasons=pa.array(["no id"]), name="items", at=NOW + timedelta(days=1))
    Lake(settings.lake).append("quarantine", later, key="b")
    marks = {describe(kept)[ROW_ID][0].as_py(): "stored"}
    ReleaseStore(database).record(marks, release_id="1", corrected="", by="ada", why="fine", at=NOW)

    found = [(one.table, one.reason, one.rows, one.released) for one in given.quarantine()]

    assert found == [("items", "no id", 1, 0), ("items", "no id", 2, 1), ("items", "too long", 1, 0)]


def test_keeps_figures_day_by_day_for_drawing(settings: Settings, database: Database) -> None:
    days = (date(2026, 11, 1), date(2026, 11, 2))
    history = FigureHistory(days, (1.0, None), (1.5, 1.5), (1.0, 1.0), (2.0, 2.0))
    moved = CheckResult("rating_mean", "data", Status.DRIFT, 1.0, 1.5, -3.0, NOW, message="it fell", history=history)
    other = CheckResult("volume", "population", Status.INSUFFICIENT)
    decided = Decided(action="retrain", reasons=("it fell",))

    keep_figures(Platform(settings), [moved, other], as_of=NOW, decided=decided, now=NOW)

    found = FigureStore(settings.figures).read()
    assert found is not None
    assert (found.action, found.reasons, found.as_of) == ("retrain", ("it fell",), NOW)
    first, second = found.figures
    assert (first.days, first.values, first.lower, first.upper) == (days, (1.0, None), (1.0, 1.0), (2.0, 2.0))
    assert (first.status, second.days) == ("drift", ())


def test_a_run_goes_on_where_figures_cannot_be_kept(settings: Settings, database: Database) -> None:
    settings.figures.mkdir()  # in the file's place

    keep_figures(Platform(settings), [], as_of=NOW, decided=Decided(action="ok", reasons=()), now=NOW)

    with pytest.raises(StoreError, match="cannot be read"):
        FigureStore(settings.figures).read()


def register(server: Settings, flow: str, name: str, cron: str | None) -> str:
    """Register a deployment as the one of Everfeed is, and return its id."""
    flow_id = api(server, "flows/", {"name": flow})["id"]
    schedules = [{"schedule": {"cron": cron, "timezone": "UTC"}, "active": True}] if cron else []
    body = {"name": name, "flow_id": flow_id, "tags": ["everfeed"], "schedules": schedules}
    found: str = api(server, "deployments/", body)["id"]
    return found


def run_through(server: Settings, flow: str) -> str:
    """Have a run of a flow begin and end, and return its id."""
    flow_id = api(server, "flows/", {"name": flow})["id"]
    run: str = api(server, "flow_runs/", {"flow_id": flow_id, "state": {"type": "PENDING"}})["id"]
    for kind in ("RUNNING", "COMPLETED"):
        state: dict[str, Any] = {"type": kind}
        api(server, f"flow_runs/{run}/set_state", {"state": state, "force": True})
    return run


@pytest.mark.slow
def test_reads_runs_and_pauses_schedules_on_a_real_server(server: Settings, settings: Settings) -> None:
    real = settings.model_copy(update={"prefect_port": server.prefect_port, "write_token": SecretStr(TOKEN)})
    deployment = register(server, "daily", "daily", "0 3 * * *")
    retrain = register(server, "retrain", "drift", None)
    released = run_through(server, "release")
    settings.root.mkdir(parents=True)
    opened = open_database(settings.database)
    app = create_app(real, opened, desk(real, opened))
    with serve(app) as url, httpx.Client(base_url=url, headers={"origin": url}, trust_env=False) as client:
        client.post("/sign-in", data={"token": TOKEN})
        page = load_settled(client)
        assert "0 3 * * * UTC" in page.text
        assert f"{server.prefect_url}/runs/flow-run/{released}" in page.attributes("a", "href")
        assert agree(client, "/act/pause?schedule=daily/daily", reason="the source moves").status_code == 303
        assert api(server, f"deployments/{deployment}", method="GET")["paused"]
        assert "daily/daily is paused." in load_settled(client).text
        agree(client, "/act/unpause?schedule=daily/daily", reason="it moved")
        assert not api(server, f"deployments/{deployment}", method="GET")["paused"]
        agree(client, "/act/retrain", reason="new catalogue")
    wanted = {"deployments": {"id": {"any_": [retrain]}}}
    (run,) = api(server, "flow_runs/filter", wanted)
    assert run["state_type"] == "SCHEDULED"
    again = asyncio.run(start_again(real, run["idempotency_key"]))
    assert again == run["id"]  # the same key starts nothing more
    opened.close()


async def start_again(settings: Settings, key: str) -> str:
    client = PrefectClient(settings.prefect_url)
    try:
        return await client.start("retrain/drift", {"retrain_id": "x"}, key=key, tag="by hand")
    finally:
        await client.close()
