"""Deployments are written for the workers of any pool, once; a real worker of a process pool runs one of them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.deploying import PoolKind, Target, job_variables, read_variables
from flows.deployments import SCHEDULES
from infra.settings import Settings
from recmodels.errors import StoreError
from tests.flows.commands import Ended, Terminal
from tests.flows.homes import ROOT, api, at_home, environment, free_port

NAMES = {f"{one.flow.name}/{one.name}" for one in SCHEDULES}


def _target(kind: PoolKind = PoolKind.PROCESS, **fields: Any) -> Target:
    return Target(pool="p", kind=kind, image="everfeed:1", api_url="http://prefect:4200/api", **fields)


def test_a_run_in_a_container_gets_the_image_the_home_and_no_secret(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_url="postgresql://me:hush@host/m", time_zone="Asia/Tokyo")
    docker = job_variables(settings, _target(PoolKind.DOCKER, variables={"mem_limit": "4g", "env": {"A": "b"}}))
    assert (docker["image"], docker["mem_limit"], docker["volumes"]) == (
        "everfeed:1",
        "4g",
        ["everfeed:/var/lib/everfeed"],
    )
    assert docker["env"]["EVERFEED_HOME"] == "/var/lib/everfeed"
    assert (docker["env"]["A"], docker["env"]["EVERFEED_TIME_ZONE"]) == ("b", "Asia/Tokyo")
    process = job_variables(settings, _target())
    assert process["env"]["EVERFEED_HOME"] == str(tmp_path)
    assert "hush" not in json.dumps([docker, process])


def test_job_variables_are_read_as_json_where_they_are_json() -> None:
    assert read_variables(["a=1", "b=x=y", 'c=["d"]']) == {"a": 1, "b": "x=y", "c": ["d"]}
    with pytest.raises(StoreError, match="not of the form name=value"):
        read_variables(["a"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--type", "vm"), "--type 'vm' is not known. Known: process, docker, kubernetes."),
        (("--type", "docker"), "name the image that holds Everfeed with --image"),
        (("--api-url", f"http://127.0.0.1:{free_port()}/api"), "did not do what was asked"),
    ],
)
def test_what_cannot_be_deployed_is_said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    ended = Terminal(capsys, monkeypatch)("deploy", *arguments)
    assert ended.code == 2
    assert words in " ".join(ended.err.split())


@pytest.fixture(scope="module")
def deployed(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with at_home(tmp_path_factory.mktemp("deployed"), server, mlflow=mlflow_template) as settings:
        yield settings


def _deploy(settings: Settings, *arguments: str) -> Ended:
    done = subprocess.run(
        (sys.executable, "-m", "flows.cli", "deploy", *arguments, "--json"),
        env=environment(settings) | {"EVERFEED_WEBHOOK_URL": "http://127.0.0.1:9/hook"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Ended(done.returncode, done.stdout, done.stderr)


def _found(settings: Settings) -> dict[str, dict[str, Any]]:
    flows = {flow["id"]: flow["name"] for flow in api(settings, "flows/filter", {})}
    return {f"{flows[one['flow_id']]}/{one['name']}": one for one in api(settings, "deployments/filter", {})}


@pytest.mark.slow
def test_a_worker_of_a_process_pool_runs_what_was_deployed_twice(deployed: Settings) -> None:
    dry = _deploy(deployed, "--pool", "own", "--dry-run", "--automations").document
    assert (dry["was_pool_made"], set(dry["deployments"]), len(dry["automations"])) == (True, NAMES, 3)
    assert all(one["name"] != "own" for one in api(deployed, "work_pools/filter", {}))
    first = _deploy(deployed, "--pool", "own", "--automations").document
    before = {name: one["id"] for name, one in _found(deployed).items()}
    api(deployed, f"deployments/{before['daily/daily']}/pause_deployment")
    second = _deploy(deployed, "--pool", "own", "--automations").document
    after = _found(deployed)
    assert (first["was_pool_made"], second["was_pool_made"]) == (True, False)
    assert {name: one["id"] for name, one in after.items()} == before
    assert (after.keys(), after["daily/daily"]["paused"]) == (NAMES, True)
    assert {one["work_pool_name"] for one in after.values()} == {"own"}
    automations = {one["name"]: one for one in api(deployed, "automations/filter", {})}
    assert len(automations) == 3
    assert automations["everfeed: cancel a stuck run"]["actions"][0]["type"] == "cancel-flow-run"
    assert automations["everfeed: tell of a failure"]["actions"][0]["type"] == "send-notification"
    run = api(deployed, f"deployments/{before['look/every-5-minutes']}/create_flow_run", {})
    log = deployed.root / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            (sys.executable, "-m", "prefect", "worker", "start", "--pool", "own", "--type", "process"),
            env=environment(deployed),
            cwd=deployed.root,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline, state = time.monotonic() + 150, ""
        while state not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") and time.monotonic() < deadline:
            time.sleep(1.0)
            state = api(deployed, f"flow_runs/{run['id']}", method="GET")["state_type"]
    finally:
        worker.terminate()
        worker.wait(30)
    assert state == "COMPLETED", log.read_text()[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_deployments_of_containers_are_written_with_their_job_variables(deployed: Settings, kind: str) -> None:
    _deploy(deployed, "--pool", f"in-{kind}", "--type", kind, "--image", "registry.example/everfeed:0.1")
    (pool,) = (one for one in api(deployed, "work_pools/filter", {}) if one["name"] == f"in-{kind}")
    assert pool["type"] == kind
    known = pool["base_job_template"]["variables"]["properties"].keys()
    for one in _found(deployed).values():
        assert one["work_pool_name"] == f"in-{kind}"
        assert one["job_variables"]["image"] == "registry.example/everfeed:0.1"
        assert one["job_variables"].keys() <= known
        assert one["entrypoint"].startswith("flows.")
