"""The demo's own code on a tenth of its users: real services on loopback, real HTTP, one process tree."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.homes import free_port

_SERVICES = ("GATEWAY", "CONSOLE", "PREFECT", "MLFLOW")


@pytest.fixture(scope="module")
def demo(ml_100k_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The summary of a demo on a tenth of the users, and its home."""
    home = tmp_path_factory.mktemp("demo")
    (home / "downloads").mkdir()
    (home / "downloads" / ml_100k_wheel.name).symlink_to(ml_100k_wheel.resolve())
    ports = {f"EVERFEED_{name}_PORT": str(free_port()) for name in _SERVICES}
    command = (sys.executable, "-m", "flows.cli", "demo", "--exit", "--json", "--sample", "0.1", "--visitors", "4000")
    result = subprocess.run(
        command,
        env={**os.environ, **ports, "EVERFEED_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1]), home


def test_every_model_is_trained_measured_and_tracked(demo):
    summary, home = demo
    assert [model["name"] for model in summary["models"]] == ["popularity", "item_knn", "ease", "sasrec"]
    for model in summary["models"]:
        assert 0 < model["ndcg_at_10"] < 1
        assert (home / "bundles" / model["digest"] / "manifest.json").exists()
        assert len(model["run_id"]) == 32
    assert summary["data"]["users"] < 120
    assert summary["data"]["interactions"] > 5_000


def test_somebody_serves_and_the_canary_says_why(demo):
    summary, _ = demo
    assert summary["champion"]["version"] >= 1
    if summary["canary"] is not None:
        assert summary["canary"]["verdict"] in {"promoted", "rolled_back"}
        assert summary["canary"]["users_canary"] > 200
        assert summary["canary"]["words"]


def test_bad_model_is_refused_and_rolled_back_when_it_is_forced(demo):
    summary, _ = demo
    assert summary["bad_model"]["refused"]
    assert summary["bad_model"]["refused_by"]
    assert summary["bad_model"]["forced"]
    assert summary["bad_model"]["stopped_unseen"]
    assert summary["bad_model"]["shadow_rule"].startswith("shadow_")
    assert summary["bad_model"]["rolled_back"]
    assert summary["bad_model"]["rule"]


def test_monitor_judges_every_figure_or_says_that_days_are_too_small(demo):
    summary, home = demo
    assert summary["drift"]["figures"] >= 15
    assert Path(summary["drift"]["report"]).exists()
    assert (home / "reports" / "data_docs" / "index.html").exists()


def test_nothing_runs_afterwards(demo):
    _, home = demo
    left = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("EVERFEED_HOME") == str(home)]
    assert left == []


def test_seconds_of_every_stage_add_up(demo):
    seconds = dict(demo[0]["seconds"])
    total = seconds.pop("total")
    assert {"start services", "ingest", "validate", "train and evaluate", "release"} <= set(seconds)
    assert sum(seconds.values()) <= total + 1
