"""The loop closes by itself: tastes shift, and nobody does anything. A small world; the whole one is a benchmark."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.flows.homes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHIFT = 18


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened, day by day."""
    home = tmp_path_factory.mktemp("loop") / "home"
    command = (
        sys.executable,
        "-m",
        "benchmarks.closed_loop",
        "--small",
        "--stable-days",
        "4",
        "--json",
        "--home",
        str(home),
    )
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
    assert result.returncode in {0, 1}, result.stderr[-3000:]
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    print("\n".join(document["timeline"]))
    return document


def test_every_target_holds(lived: dict[str, Any]) -> None:
    assert [one for one in lived["targets"] if not one["holds"]] == []


def test_retrain_has_its_cause_and_its_model_is_promoted(lived: dict[str, Any]) -> None:
    first = next(one for one in lived["retrains"] if one["outcome"] == "challenger")
    (rollout,) = (one for one in lived["rollouts"] if one["cause"].startswith(f"retrain {first['id']}, incidents "))
    assert "drifted" in rollout["cause"]
    assert rollout["steps"][0]["state"] == "shadow"
    assert rollout["steps"][-1]["state"] == "promoted"
    assert rollout["steps"][0]["day"] > SHIFT


def test_policy_waits_for_enough_new_data_and_then_rests(lived: dict[str, Any]) -> None:
    actions = lived["actions"]
    assert set(actions[:SHIFT]) == {"ok"}
    assert actions[SHIFT] == "alert", "one day of new tastes is too little to learn from"
    assert "retrain" in actions[SHIFT:]
    assert set(actions[-4:]) == {"ok"}
