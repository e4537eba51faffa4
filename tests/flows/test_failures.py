"""A failed run says which stage, why and what to do, to Prefect and to its caller; a refusal is no failure."""

from pathlib import Path
from typing import Any

import pytest

from flows.failures import failure_of
from flows.lifecycle import Data, lifecycle
from flows.progress import stage
from flows.references import Traffic
from infra.settings import Settings
from recmodels.errors import SourceError, StoreError
from recmodels.presets import popularity
from recmodels.recipe import ModelChoice, Recipe
from tests.flows.homes import WORLD, api


def _newest(settings: Settings, name: str) -> dict[str, Any]:
    wanted = {"flows": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC", "limit": 1}
    (run,) = api(settings, "flow_runs/filter", wanted)
    return dict(run)


def _pages(settings: Settings, run: dict[str, Any]) -> list[str]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}, "key": {"any_": ["failure"]}}}
    return [one["data"] for one in api(settings, "artifacts/filter", wanted)]


def test_a_missing_file_is_explained_by_state_and_page_and_raised_as_it_is(home: Settings, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.csv does not exist"):
        lifecycle(Data(source="table", path=tmp_path / "none.csv"), [popularity()], Traffic.LIVE)
    run = _newest(home, "lifecycle")
    message = run["state"]["message"]
    assert run["state_type"] == "FAILED"
    assert message.startswith("Stage 'ingest' failed. SourceError: source 'table': ")
    assert "none.csv does not exist" in message
    assert "What to do: Correct the source or its options, then start the run again" in message
    (page,) = _pages(home, run)
    assert "# Failed in the stage ingest" in page
    assert "`flows.ingest." in page


def test_the_innermost_stage_is_named_and_a_mistake_of_ours_is_said_to_be_one() -> None:
    def broken() -> None:
        with stage("outer"), stage("inner"):
            raise KeyError("x")

    with pytest.raises(KeyError) as said:
        broken()
    failure = failure_of(said.value, flow="daily")
    assert (failure.stage, failure.kind) == ("inner", "KeyError")
    assert "a mistake in Everfeed or in a plug-in" in failure.words
    assert failure_of(StoreError("gone"), flow="look").stage == "look"


@pytest.mark.slow
def test_a_registry_that_is_down_is_the_stage_that_needs_it(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFEED_MLFLOW_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match="MLflow at"):
        lifecycle(WORLD, [popularity()], Traffic.LIVE)
    message = _newest(home, "lifecycle")["state"]["message"]
    assert message.startswith("Stage 'train and evaluate' failed. StoreError: MLflow at http://127.0.0.1:9")
    assert "`everfeed doctor` says which store is down" in message


@pytest.mark.slow
def test_a_refusal_by_the_gate_completes(home: Settings) -> None:
    lifecycle(WORLD, [popularity()], Traffic.LIVE)
    worse = Recipe(name="worse", model=ModelChoice(name="popularity", config={"window_days": 0.001}))
    outcome = lifecycle(WORLD, [worse], Traffic.LIVE)
    assert outcome.release.challenger is None
    run = _newest(home, "lifecycle")
    assert (run["state_type"], _pages(home, run)) == ("COMPLETED", [])
