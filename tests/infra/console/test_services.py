"""What the control room shows of Prefect and MLflow, against small servers that speak as they do, or do not."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flows.control_room import desk
from infra.console.app import create_app
from infra.settings import Settings
from tests.infra.console.reading import HOSTILE, agree, load, load_settled
from tests.infra.gateway_home import TOKEN, Home, serve

DAILY = "11111111-0000-0000-0000-000000000000"
RETRAIN = "22222222-0000-0000-0000-000000000000"


def flow_run(flow: str, state: str, *, began: timedelta, took: float | None, words: str = "") -> dict[str, Any]:
    start = datetime.now(UTC) - began
    return {
        "id": f"{flow}-{state}-{began.total_seconds():.0f}",
        "name": "a-name",
        "flow_id": flow,
        "state_type": state,
        "start_time": start.isoformat(),
        "end_time": None if took is None else (start + timedelta(seconds=took)).isoformat(),
        "expected_start_time": start.isoformat(),
        "state": {"type": state, "message": words},
        "something_newer": {"that": "is ignored"},
    }


@dataclass
class Prefect:
    """Enough of Prefect's API, of the shapes that version 3.8 answers in."""

    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    is_paused: bool = False
    started: list[dict[str, Any]] = field(default_factory=list)
    breaks: str = ""

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/api/{path:path}", self.answer, methods=["GET", "POST"])])

    async def answer(self, request: Request) -> Response:
        path = request.path_params["path"]
        while self.breaks == "hangs":
            await asyncio.sleep(0.05)
        if self.breaks == "fails":
            return Response("no", status_code=500)
        if self.breaks == "talks nonsense":
            return Response(b'[{"id": 3}]')
        if path == "flow_runs/filter":
            body = await request.json()
            if "deployments" in body:
                at = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
                return JSONResponse(
                    [
                        flow_run("d", "SCHEDULED", began=timedelta(0), took=None)
                        | {"deployment_id": DAILY, "expected_start_time": at}
                    ]
                )
            return JSONResponse(self.runs.get(body["flows"]["name"]["any_"][0], []))
        if path == "flows/filter":
            return JSONResponse([{"id": "f1", "name": "daily"}, {"id": "f2", "name": "retrain"}])
        if path == "deployments/filter":
            return JSONResponse(
                [self.deployment(DAILY, "f1", "daily", "0 3 * * *"), self.deployment(RETRAIN, "f2", "drift", None)]
            )
        if path.endswith("create_flow_run"):
            self.started.append({"path": path, **await request.json()})
            return JSONResponse({"id": "r", "name": "a-run"}, status_code=201)
        self.is_paused = path.endswith("pause_deployment")
        return Response(status_code=200)

    def deployment(self, key: str, flow: str, name: str, cron: str | None) -> dict[str, Any]:
        entries = [{"active": True, "schedule": {"cron": cron, "timezone": "UTC"}}] if cron else []
        return {
            "id": key,
            "name": name,
            "flow_id": flow,
            "paused": self.is_paused and key == DAILY,
            "schedules": entries,
            "status": "READY",
            "description": HOSTILE,
        }


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def settings(home: Home, settings: Settings, prefect: Prefect) -> Iterator[Settings]:
    with serve(prefect.app()) as url:
        yield settings.model_copy(update={"prefect_port": int(url.rpartition(":")[2])})
        prefect.breaks = ""


def test_a_running_stage_says_when_it_will_have_ended(prefect: Prefect, client: httpx.Client) -> None:
    past = [
        flow_run("train", "COMPLETED", began=timedelta(days=n), took=took) for n, took in ((1, 300), (2, 900), (3, 600))
    ]
    prefect.runs["train"] = [flow_run("train", "RUNNING", began=timedelta(seconds=125), took=None), *past]

    page = load_settled(client)

    assert "running" in page.text
    assert "in 7 min (by 3 past)" in " ".join(page.text.split())  # the median of 600 s less the 125 s so far
    assert "2 min" in page.text
    assert any("/runs/flow-run/train-RUNNING" in href for href in page.attributes("a", "href"))


def test_a_failed_stage_says_why_and_where(prefect: Prefect, client: httpx.Client) -> None:
    words = f"train and evaluate: the disk is full {HOSTILE}"
    prefect.runs["train"] = [flow_run("train", "FAILED", began=timedelta(hours=1), took=3.0, words=words)]

    html = load_settled(client).html

    assert "the disk is full" in html
    assert HOSTILE not in html
    assert "/runs/flow-run/train-FAILED" in html


def test_a_later_success_ends_what_an_earlier_failure_said(prefect: Prefect, client: httpx.Client) -> None:
    good = flow_run("train", "COMPLETED", began=timedelta(minutes=1), took=42.0)
    bad = flow_run("train", "FAILED", began=timedelta(hours=1), took=3.0, words="the disk is full")
    prefect.runs["train"] = [good, bad]

    text = load_settled(client).text

    assert "the disk is full" not in text
    assert "42 s" in text


def test_pauses_and_resumes_a_schedule(prefect: Prefect, operator: httpx.Client, home: Home) -> None:
    assert "in 2 h" in load_settled(operator).text  # in three hours, less a moment

    answer = agree(operator, "/act/pause?schedule=daily/daily", reason="the source moves")

    assert answer.headers["location"] == "/#schedules"
    assert prefect.is_paused
    assert "daily/daily is paused." in load(operator).text
    page = load_settled(operator)
    assert "/act/unpause?schedule=daily/daily" in page.attributes("a", "href")
    assert "the source moves" in load(operator, "/audit").text
    agree(operator, "/act/unpause?schedule=daily/daily", reason="it moved")
    assert not prefect.is_paused


def test_names_the_schedules_there_are(operator: httpx.Client) -> None:
    text = load(operator, "/act/pause", status=409, schedule="daly/daily").text
    assert "there is no schedule 'daly/daily'. Known: daily/daily, retrain/drift." in text


def test_a_retrain_is_started_once(prefect: Prefect, operator: httpx.Client) -> None:
    agree(operator, "/act/retrain", reason="new catalogue")

    (run,) = prefect.started
    assert run["path"] == f"deployments/{RETRAIN}/create_flow_run"
    assert run["idempotency_key"] == f"{run['parameters']['retrain_id']} "  # the key of the monitor's own attempt
    assert f"Retrain {run['parameters']['retrain_id']} begins." in load(operator).text


@pytest.mark.parametrize(
    ("breaks", "words"), [("fails", "status 500"), ("talks nonsense", "in a form that is not known")]
)
def test_says_what_is_wrong_with_prefect(prefect: Prefect, client: httpx.Client, breaks: str, words: str) -> None:
    prefect.breaks = breaks

    text = load_settled(client).text

    assert words in text
    assert "Not known: Prefect does not answer." in text
    assert "Lifecycle" in text


def test_waits_for_nobody(prefect: Prefect, client: httpx.Client) -> None:
    prefect.breaks = "hangs"

    text = load(client).text

    assert "Lifecycle" in text
    assert "Prefect is being asked" in text


class TestWithMlflow:
    """A server that knows two versions."""

    @pytest.fixture
    def settings(self, home: Home, settings: Settings) -> Iterator[Settings]:
        async def versions(request: Request) -> Response:
            number = request.query_params["filter"].rpartition("=")[2]
            tags = [{"key": "everfeed.drift_report", "value": "javascript:alert(1)"}]
            return JSONResponse({"model_versions": [{"version": number, "run_id": f"run{number}", "tags": tags}]})

        async def run(request: Request) -> Response:
            value = 0.25 if request.query_params["run_id"] == "run1" else 0.5
            ends = (("", 0.0), ("_lower", -0.05), ("_upper", 0.05))
            metrics = [{"key": f"ndcg_at_10{end}", "value": value + off} for end, off in ends]
            return JSONResponse(
                {
                    "run": {
                        "info": {"experiment_id": "7"},
                        "data": {"metrics": [*metrics, {"key": "loss", "value": 1.0}]},
                    }
                }
            )

        routes = [Route("/api/2.0/mlflow/model-versions/search", versions), Route("/api/2.0/mlflow/runs/get", run)]
        with serve(Starlette(routes=routes)) as url:
            yield settings.model_copy(update={"mlflow_port": int(url.rpartition(":")[2])})

    def test_shows_intervals_and_links_to_the_run(self, home: Home, settings: Settings) -> None:
        home.crown()
        home.challenge()
        with (
            serve(create_app(settings, home.database, desk(settings, home.database))) as url,
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client,
        ):
            page = load_settled(client)

        text = " ".join(page.text.split())
        assert "ndcg_at_10 test0.2500 [0.2000, 0.3000]0.5000 [0.4500, 0.5500]+0.2500 intervals apart" in text
        hrefs = page.attributes("a", "href")
        assert f"{settings.mlflow_ui_url}/#/experiments/7/runs/run2" in hrefs
        assert not any(href.startswith("javascript") for href in hrefs)
