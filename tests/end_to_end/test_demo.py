"""The whole demo, as `everfeed demo --exit --json` runs it: real services on loopback, real HTTP, one process tree."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.homes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_SERVICES = ("GATEWAY", "CONSOLE", "PREFECT", "MLFLOW", "EVIDENTLY")


@pytest.fixture(scope="module")
def demo(ml_100k_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The summary of the demo, which is printed as well, and its home."""
    home = tmp_path_factory.mktemp("demo")
    (home / "downloads").mkdir()
    (home / "downloads" / ml_100k_wheel.name).symlink_to(ml_100k_wheel.resolve())
    ports = {f"EVERFEED_{name}_PORT": str(free_port()) for name in _SERVICES}
    command = (sys.executable, "-m", "flows.cli", "demo", "--exit", "--json")
    result = subprocess.run(
        command,
        env={**os.environ, **ports, "EVERFEED_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    print(result.stdout)
    return json.loads(result.stdout.splitlines()[-1]), home


def test_every_model_is_trained_measured_and_tracked(demo):
    summary, home = demo
    assert [model["name"] for model in summary["models"]] == ["popularity", "item_knn", "ease", "sasrec"]
    for model in summary["models"]:
        assert 0 < model["ndcg_at_10"] < 1
        assert (home / "bundles" / model["digest"] / "manifest.json").exists()
        assert len(model["run_id"]) == 32
    assert (summary["data"]["users"], summary["data"]["interactions"]) == (943, 100_000)


def test_the_challenger_serves_and_the_canary_says_why(demo):
    summary, _ = demo
    assert summary["champion"]["version"] > 1
    assert (summary["canary"]["verdict"], summary["canary"]["rule"]) == ("promoted", "non_inferior")
    assert summary["canary"]["users_canary"] >= 1000
    assert "Promote by rule non_inferior" in summary["canary"]["words"]


def test_bad_model_is_refused_and_rolled_back_when_it_is_forced(demo):
    summary, _ = demo
    assert summary["bad_model"]["refused"]
    assert summary["bad_model"]["refused_by"]
    assert summary["bad_model"]["forced"]
    assert summary["bad_model"]["stopped_unseen"]
    assert summary["bad_model"]["shadow_rule"].startswith("shadow_")
    assert summary["bad_model"]["rolled_back"]
    assert summary["bad_model"]["rule"]


def test_the_shift_is_found_and_told(demo):
    summary, home = demo
    assert summary["drift"]["figures"] >= 15
    assert summary["drift"]["figure"] in {"item_concentration", "category_share"}  # a third of the events on one item
    assert summary["alert"]["delivered"]
    assert summary["alert"]["received"] >= 1
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
