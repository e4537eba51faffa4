"""The whole way of a model on a small world with known truth: done once, found again, never doubled."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from flows.lifecycle import daily
from flows.references import Traffic
from flows.wiring import connect
from infra.rollouts import RolloutState
from tests.flows.homes import RECIPES, Lived, api, at_home, steps_of


def test_popularity_serves_and_the_best_other_meets_users_when_the_registry_was_empty(lived: Lived) -> None:
    released = lived.first.release
    best = max(lived.first.candidates, key=lambda c: (c.recipe.name != "popularity", c.validation["ndcg_at_10"]))
    assert (released.champion_name, released.champion_version) == ("popularity", 1)
    assert released.challenger is not None
    assert released.challenger.digest == best.digest
    home = connect(lived.settings)
    assert [(champion.version, champion.rollout_id) for champion in home.rollouts.history()] == [(1, None)]
    active = home.rollouts.active()
    assert active is not None
    assert (active.state, active.challenger.digest) == (RolloutState.SHADOW, best.digest)
    assert home.registry.aliases() == {"champion": 1, "challenger": 2}


def test_nothing_is_added_when_the_same_lifecycle_runs_again(lived: Lived) -> None:
    assert lived.after_second == lived.after_first
    assert lived.after_first.lake == {"interactions": 0, "items": 0, "users": 0}
    assert [version for version, _ in lived.after_first.models] == [2, 1]
    assert len(lived.after_first.runs) == 1 + len(RECIPES)
    assert [c.was_done for c in lived.first.candidates] == [False] * len(RECIPES)
    assert [c.was_done for c in lived.second.candidates] == [True] * len(RECIPES)
    assert [c.digest for c in lived.second.candidates] == [c.digest for c in lived.first.candidates]
    assert lived.second.snapshot == lived.first.snapshot


def test_every_epoch_is_tracked_once_when_a_lifecycle_is_repeated(lived: Lived) -> None:
    home = connect(lived.settings)
    sasrec = next(c for c in lived.first.candidates if c.recipe.name == "sasrec")
    assert steps_of(home, sasrec.run_id, "loss") == [1, 2, 3, 4, 5, 6]
    run = home.tracker.client.get_run(sasrec.run_id)
    assert run.data.tags["mlflow.parentRunId"] == sasrec.parent_id
    assert run.data.tags["snapshot"] == lived.first.snapshot.fingerprint
    assert run.data.metrics["ndcg_at_10"] == pytest.approx(sasrec.metrics["ndcg_at_10"])
    assert {run.info.status for run in home.tracker.client.search_runs([home.tracker.experiment_id])} == {"FINISHED"}


def test_the_comparison_is_one_click_from_the_run_and_from_the_experiment(lived: Lived) -> None:
    tracker = connect(lived.settings).tracker
    parent = lived.first.candidates[0].parent_id
    note = tracker.client.get_run(parent).data.tags["mlflow.note.content"]
    (link,) = re.findall(r"\[Compare these runs\]\((.*?)\)", note)
    query = parse_qs(urlsplit(link.replace("#/", "")).query)
    assert json.loads(query["runs"][0]) == [one.run_id for one in lived.first.candidates]
    assert json.loads(query["experiments"][0]) == [tracker.experiment_id]
    best, *others = sorted(lived.first.candidates, key=lambda one: -one.validation["ndcg_at_10"])
    rows = [line for line in note.splitlines() if line.startswith("| [")]
    assert [row.split("]")[0] for row in rows] == [f"| [{one.recipe.name}" for one in (best, *others)]
    assert f"{best.metrics['ndcg_at_10']:.4f}" in rows[0]
    assert tracker.client.get_run(best.run_id).data.tags["validation.place"] == "1 of 3"
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    assert note in experiment.tags["mlflow.note.content"]
    assert "comparison.html" in {file.path for file in tracker.client.list_artifacts(parent)}


def test_version_says_why_it_is_where_it_is_when_it_was_registered(lived: Lived) -> None:
    versions = {known.version: known.tags for known in connect(lived.settings).registry.versions()}
    assert versions[1]["state"] == "champion"
    assert "bootstrap" in versions[1]["why"]
    assert versions[2]["state"] == "challenger"
    assert versions[2]["snapshot"] == lived.first.snapshot.fingerprint


def test_each_stage_leaves_a_page_when_it_is_done(lived: Lived) -> None:
    artifacts = api(lived.settings, "artifacts/filter", {})  # of every home that this server has seen
    assert {"ingested", "validated", "candidates", "gate"} <= {artifact["key"] for artifact in artifacts}
    words = f"{lived.first.snapshot.interactions:,} interactions"
    ingested = [one for one in artifacts if one["key"] == "ingested" and words in one["data"]]
    assert ingested
    run = api(lived.settings, f"flow_runs/{ingested[0]['flow_run_id']}", method="GET")
    assert run["state_type"] == "COMPLETED"


def test_daily_goes_on_from_the_lake_when_nothing_new_came(lived: Lived, mlflow_template) -> None:
    with at_home(lived.settings.root, lived.settings, mlflow=mlflow_template):
        outcome = daily(RECIPES, Traffic.LIVE)
    assert outcome.snapshot.fingerprint == lived.first.snapshot.fingerprint
    assert all(candidate.was_done for candidate in outcome.candidates)
    assert outcome.rollout is None
