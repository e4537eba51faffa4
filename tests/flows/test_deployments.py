"""Schedules are visible, triggered and paused through the server's own API, and a pause outlives a restart."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.deployments import SCHEDULES
from flows.retrains import RetrainConfig, request_retrain, start_retrains
from flows.wiring import connect
from infra.settings import Settings
from recmodels.presets import PRESETS
from tests.flows.homes import ROOT, api, at_home, environment, python

CRONS = {
    "daily/daily": "0 3 * * *",
    "monitor/hourly": "15 * * * *",
    "look/every-5-minutes": "*/5 * * * *",
    "analyze/weekly": "0 6 * * 1",
}
ON_DEMAND = {"retrain/drift", "tune/search", "deliver/by-hand", "run/by-form"}
WHOLE = CRONS.keys() | ON_DEMAND


class Schedules:
    """The process that serves the deployments, over one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log = (settings.root / "schedules.log").open("ab")

    def start(self) -> None:
        """Start it, and wait until it has registered every deployment anew."""
        before = {name: found["updated"] for name, found in self.deployments().items()}
        self._process = subprocess.Popen(
            python("-m", "flows.deployments"),
            env=environment(self.settings),
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.until(lambda: all(self._is_new(name, before.get(name)) for name in WHOLE), "the deployments", seconds=90)

    def stop(self) -> None:
        """Stop it as the supervisor does."""
        self._process.terminate()
        self._process.wait(30)

    def close(self) -> None:
        """Stop it for good, and leave the server, which other tests use, without deployments."""
        self.stop()
        for found in self.deployments().values():
            httpx.delete(f"{self.settings.prefect_url}/api/deployments/{found['id']}").raise_for_status()
        self._log.close()

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Return every deployment of the server by its flow's and its own name."""
        found = api(self.settings, "deployments/filter", {})
        flows = {flow["id"]: flow["name"] for flow in api(self.settings, "flows/filter", {})}  # later: each is there
        return {f"{flows[deployment['flow_id']]}/{deployment['name']}": deployment for deployment in found}

    def scheduled(self, name: str) -> list[str]:
        """Return the times at which a deployment is to run."""
        wanted = {"deployments": {"id": {"any_": [self.deployments()[name]["id"]]}}}
        runs = api(self.settings, "flow_runs/filter", wanted)
        return [run["expected_start_time"] for run in runs if run["state_type"] == "SCHEDULED"]

    def until(self, is_so: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = Path(self._log.name).read_text()[-3000:]
                pytest.fail(f"{what} did not come within {seconds:.0f} s; the schedules' log ends with: {log}")
            time.sleep(0.2)

    def _is_new(self, name: str, updated_before: str | None) -> bool:
        return self.deployments().get(name, {}).get("updated", updated_before) != updated_before


@pytest.fixture(scope="module")
def schedules(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Schedules]:
    with at_home(tmp_path_factory.mktemp("scheduled"), server, mlflow=mlflow_template) as settings:
        started = Schedules(settings)
        try:
            started.start()
            yield started
        finally:
            started.close()


def test_every_deployment_is_visible_with_its_times_when_it_is_served(schedules: Schedules) -> None:
    found = schedules.deployments()
    assert {name: found[name]["schedules"][0]["schedule"]["cron"] for name in CRONS} == CRONS
    assert {f"{one.flow.name}/{one.name}" for one in SCHEDULES if one.cron} == set(CRONS)
    assert found.keys() == WHOLE
    assert all(found[name]["schedules"] == [] for name in ON_DEMAND)
    assert all(found[name]["description"] and "everfeed" in found[name]["tags"] for name in CRONS)
    assert {found[name]["schedules"][0]["schedule"]["timezone"] for name in CRONS} == {"UTC"}


def test_a_form_shows_what_can_be_set_when_a_person_triggers_a_run(schedules: Schedules) -> None:
    known = schedules.deployments()["daily/daily"]["parameter_openapi_schema"]["properties"]
    assert {"recipes", "traffic", "canary", "cause"} <= known.keys()


def test_a_form_offers_the_catalogues_and_says_what_each_field_is(schedules: Schedules) -> None:
    schema = schedules.deployments()["run/by-form"]["parameter_openapi_schema"]
    forms = schema["definitions"]
    assert {"table", "movielens"} <= set(forms["DataForm"]["properties"]["source"]["enum"])
    assert set(forms["RecipeForm"]["properties"]["presets"]["items"]["enum"]) == set(PRESETS)
    assert forms["Traffic"]["enum"] == ["live", "replay"]
    assert all(
        field.get("description") for name in ("DataForm", "PolicyForm") for field in forms[name]["properties"].values()
    )
    assert schema["properties"]["data"]["description"] == "What is read, and how."


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"data": {"source": "tabel", "path": "x"}}, "tabel"),
        ({"data": {"source": "table", "path": ""}}, "path"),
        ({"data": {"source": "table", "path": "x"}, "policy": {"traffic": "everyone"}}, "everyone"),
        ({"data": {"source": "table", "path": "x"}, "policy": {"delta": 2}}, "2"),
        ({"data": {"source": "table", "path": "x"}, "recipe": {"presets": ["eese"]}}, "eese"),
        ({}, "data"),
    ],
)
def test_the_server_refuses_a_form_before_anything_runs_when_a_value_is_wrong(
    schedules: Schedules, parameters: dict[str, Any], words: str
) -> None:
    deployment = schedules.deployments()["run/by-form"]["id"]
    url = f"{schedules.settings.prefect_url}/api/deployments/{deployment}/create_flow_run"
    answer = httpx.post(url, json={"parameters": parameters}, timeout=30)
    assert answer.status_code == 409
    assert words in answer.text


def test_one_run_of_a_deployment_at_a_time(schedules: Schedules) -> None:
    found = schedules.deployments()
    assert {name: found[name]["global_concurrency_limit"]["limit"] for name in WHOLE} == dict.fromkeys(WHOLE, 1)
    waits = {name for name in WHOLE if found[name]["concurrency_options"]["collision_strategy"] == "ENQUEUE"}
    assert waits == {"daily/daily", "retrain/drift", "tune/search", "run/by-form"}
    assert all("model:everfeed" in found[name]["tags"] for name in WHOLE)


def test_runs_are_scheduled_when_a_deployment_is_active(schedules: Schedules) -> None:
    name = "look/every-5-minutes"
    schedules.until(lambda: len(schedules.scheduled(name)) >= 3, "scheduled runs", seconds=30)
    assert all(moment[15] in "05" for moment in schedules.scheduled(name))


def test_a_run_completes_when_it_is_triggered_through_the_api(schedules: Schedules) -> None:
    deployment = schedules.deployments()["look/every-5-minutes"]["id"]
    run = api(schedules.settings, f"deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})

    def state() -> str:
        found: str = api(schedules.settings, f"flow_runs/{run['id']}", method="GET")["state_type"]
        return found

    schedules.until(lambda: state() in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), "the run's end", seconds=120)
    assert state() == "COMPLETED"


def test_a_retrain_runs_once_as_a_run_of_its_deployment_when_it_was_asked_for(schedules: Schedules) -> None:
    with at_home(schedules.settings.root, schedules.settings, mlflow=schedules.settings.root / "mlflow.db"):
        asked = request_retrain("clicks fell", learns_from=None, seen=0)
        assert asked is not None
        start_retrains(RetrainConfig())
        start_retrains(RetrainConfig())
    store = connect(schedules.settings).retrains
    schedules.until(lambda: store.all()[0].ended_at is not None, "the retrain's end", seconds=120)
    (known,) = store.all()
    assert (known.outcome, known.retrain_id) == ("failed", asked.retrain_id)
    assert "holds no data yet" in known.words  # this home is empty
    wanted = {"deployments": {"id": {"any_": [schedules.deployments()["retrain/drift"]["id"]]}}}
    (run,) = api(schedules.settings, "flow_runs/filter", wanted)
    assert run["parameters"]["retrain_id"] == asked.retrain_id


def test_a_pause_holds_and_an_earlier_version_is_gone_when_the_process_is_started_again(schedules: Schedules) -> None:
    settings = schedules.settings
    flow = schedules.deployments()["deliver/by-hand"]["flow_id"]
    api(settings, "deployments/", {"name": "every-5-minutes", "flow_id": flow})  # as a version before this one did
    assert schedules.deployments().keys() == {*WHOLE, "deliver/every-5-minutes"}
    daily, look = (schedules.deployments()[name] for name in ("daily/daily", "look/every-5-minutes"))
    place = f"deployments/{look['id']}/schedules/{look['schedules'][0]['id']}"
    api(settings, f"deployments/{daily['id']}/pause_deployment")
    api(settings, place, {"active": False}, method="PATCH")
    schedules.stop()
    assert [d["paused"] for name, d in schedules.deployments().items() if name in CRONS].count(True) == 1
    schedules.start()
    found = schedules.deployments()
    assert found.keys() == WHOLE
    assert {name: found[name]["paused"] for name in CRONS} == {name: name == "daily/daily" for name in CRONS}
    active = {name: [schedule["active"] for schedule in found[name]["schedules"]] for name in CRONS}
    assert active == {name: [name != "look/every-5-minutes"] for name in CRONS}
    schedules.until(lambda: len(schedules.scheduled("monitor/hourly")) >= 3, "scheduled runs", seconds=30)
    assert schedules.scheduled("daily/daily") == schedules.scheduled("look/every-5-minutes") == []
