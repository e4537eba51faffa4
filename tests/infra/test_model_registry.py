"""Model versions: one a bundle, with aliases that mirror who serves."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from infra.model_registry import AliasChange, ModelRegistry
from infra.tracking import Tracker

NAME = "everfeed"


@pytest.fixture
def run_id(mlflow_uri: str, tmp_path: Path) -> str:
    return Tracker(mlflow_uri, artifacts=tmp_path / "artifacts").lifecycle_run("k", name="n", tags={})


@pytest.fixture
def registry(mlflow_uri: str, run_id: str) -> ModelRegistry:
    registry = ModelRegistry(mlflow_uri, NAME)
    for digest in ("a" * 64, "b" * 64, "c" * 64):
        registry.register(digest, run_id=run_id, source=f"/bundles/{digest}", tags={"why": "passed the gate"})
    return registry


def test_registry_is_empty_when_it_is_new(mlflow_uri: str) -> None:
    registry = ModelRegistry(mlflow_uri, NAME)
    assert registry.aliases() == {}
    assert registry.version_of("a" * 64) is None
    assert registry.versions() == []


def test_bundle_has_one_version_when_it_is_registered_again(registry: ModelRegistry, run_id: str) -> None:
    assert registry.register("b" * 64, run_id=run_id, source="/bundles/b", tags={"why": "again"}) == 2
    assert [(v.version, v.digest[0], v.tags["why"]) for v in registry.versions()] == [
        (3, "c", "passed the gate"),
        (2, "b", "again"),
        (1, "a", "passed the gate"),
    ]
    assert registry.version_of("c" * 64) == 3
    assert registry.versions()[0].run_id == run_id


def test_aliases_follow_a_rollout_from_start_to_promotion(registry: ModelRegistry) -> None:
    first = registry.reconcile(1, None, reason="bootstrap")
    assert first == [AliasChange("champion", None, 1, was_moved_by_hand=False)]
    registry.reconcile(1, 2, reason="canary starts")
    assert registry.aliases() == {"champion": 1, "challenger": 2}
    assert registry.reconcile(1, 2) == []
    registry.reconcile(2, None, reason="not worse")
    assert registry.aliases() == {"champion": 2}
    assert {v.version: (v.tags.get("state"), v.tags["why"]) for v in registry.versions()} == {
        3: (None, "passed the gate"),
        2: ("champion", "not worse"),
        1: ("former champion", "not worse"),
    }


def test_rolled_back_challenger_says_why(registry: ModelRegistry) -> None:
    registry.reconcile(1, 2, reason="canary starts")
    registry.reconcile(1, None, reason="clicks fell")
    second = registry.versions()[1]
    assert (second.tags["state"], second.tags["why"]) == ("former challenger", "clicks fell")


def test_alias_moved_by_hand_is_undone_and_told(registry: ModelRegistry, mlflow_uri: str) -> None:
    registry.reconcile(1, None, reason="bootstrap")
    client = MlflowClient(tracking_uri=mlflow_uri, registry_uri=mlflow_uri)
    client.set_registered_model_alias(NAME, "champion", "3")
    client.set_registered_model_alias(NAME, "challenger", "2")
    assert registry.reconcile(1, None) == [
        AliasChange("challenger", 2, None, was_moved_by_hand=True),
        AliasChange("champion", 3, 1, was_moved_by_hand=True),
    ]
    assert registry.aliases() == {"champion": 1}


def test_tags_are_written_over(registry: ModelRegistry) -> None:
    registry.tag(1, {"why": "asked for"})
    assert registry.versions()[2].tags["why"] == "asked for"
