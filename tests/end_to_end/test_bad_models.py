"""Twelve kinds of bad models, each sent the whole way on a small world, and a good one that gets through."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo.animals import ANIMALS, Animal
from benchmarks.zoo.corruptions import CORRUPTIONS, Corruption, Fate, send_on
from benchmarks.zoo.gateway import Gateway, serving
from benchmarks.zoo.gauntlet import BEFORE_USERS, Trial, try_model
from benchmarks.zoo.recording import recording_of
from benchmarks.zoo.variants import with_weights
from benchmarks.zoo.world import World, build_world
from infra.settings import Settings
from recmodels.data.sources import synthetic
from recmodels.presets import item_knn, popularity

FIRST = {
    "NaN: weights": ("load", "BundleError"),
    "NaN: scores": ("gate", "finite_scores"),
    "constant": ("gate", "better_than_chance"),
    "empty": ("gate", "quality_floor"),
    "slow": ("gate", "latency"),
    "unsafe items": ("gate", "blocked_items"),
    "tiny coverage": ("gate", "coverage_against_champion"),
    "swapped ids": ("gate", "better_than_chance"),
    "stale vocabulary": ("gate", "current_catalogue"),
    "corrupt file": ("load", "BundleError"),
    "wrong schema": ("load", "BundleError"),
    "too large for memory": ("load", "BundleError"),
    "malicious: pickle": ("load", "BundleError"),
    "malicious: traversal": ("load", "BundleError"),
    "malicious: external data": ("load", "BundleError"),
    "malicious: Parquet bomb": ("load", "BundleError"),
}
"""Where each stops, and by which of perhaps several names."""
FORCED = {
    "NaN: scores": ("shadow", "shadow_non_finite (rollback)"),
    "constant": ("shadow", "shadow_overlap (hold)"),
    "empty": ("shadow", "shadow_short (rollback)"),
    "unsafe items": ("shadow", "shadow_blocked (rollback)"),
    "swapped ids": ("shadow", "shadow_overlap (hold)"),
}
"""What stops those that somebody forces past the gate, before a user meets them."""
WORDS = {
    "NaN: weights": "not finite",
    "corrupt file": "was altered after it was built",
    "wrong schema": "'safety'",
    "too large for memory": "at most 8589934592 are read",
    "malicious: pickle": "arrays.safetensors",
    "malicious: traversal": "'../../traversed.json'",
    "malicious: external data": "lies in another file (../../../../etc/passwd)",
    "malicious: Parquet bomb": "its texts take",
}
"""What the load says."""
GOOD = Animal("good", "the champion with weights that differ in the last digits", lambda world: _nearly(world))

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")]


def _nearly(world: World) -> str:
    return with_weights(world, lambda values: values * np.float32(1.001))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def world(settings: Settings) -> World:
    tables = synthetic.read(Path(), users=150, items=400, creators=40, days=21)
    recipe = item_knn()
    recipe = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"bootstrap_samples": 200})})
    return build_world(settings.bundles, tables.interactions, tables.items, recipe=recipe, floor=popularity())


@pytest.fixture(scope="module")
def gateway(world: World, settings: Settings) -> Iterator[Gateway]:
    with serving(world, settings, requests=150) as found:
        yield found


@pytest.fixture(scope="module")
def trials(world: World, gateway: Gateway) -> dict[str, Trial]:
    return {animal.name: try_model(world, gateway, animal) for animal in (*ANIMALS, GOOD)}


def test_the_zoo_holds_twelve_kinds():
    assert {animal.name for animal in ANIMALS} == FIRST.keys()
    assert len({name.partition(":")[0] for name in FIRST}) == 12


def test_a_good_model_is_let_through_to_its_first_users(trials):
    assert [(stop.stage, stop.by) for stop in trials["good"].stops if stop.stage in BEFORE_USERS] == [
        (stage, "") for stage in BEFORE_USERS
    ]


@pytest.mark.parametrize("name", FIRST)
def test_a_bad_model_is_stopped_by_a_named_gate_before_a_user_meets_it(trials, name):
    trial, (stage, by) = trials[name], FIRST[name]
    assert trial.is_stopped
    assert trial.share == 0
    assert trial.first.stage == stage
    assert by in trial.first.by.split(", ")
    assert WORDS.get(name, "") in trial.first.words


@pytest.mark.parametrize("name", FORCED)
def test_a_bad_model_is_stopped_later_on_when_somebody_forces_it_past_the_gate(trials, name):
    stage, by = FORCED[name]
    assert trials[name].said(stage) == by


def test_a_slow_model_is_stopped_later_on_when_somebody_forces_it_past_the_gate(trials):
    """By the warm-up where a list takes longer than a request may wait, else in shadow."""
    assert trials["slow"].said("warm-up") == "slot refused" or trials["slow"].said("shadow").startswith("shadow_slow")


@pytest.mark.parametrize("name", [name for name, (stage, _) in FIRST.items() if stage == "load"])
def test_a_bundle_that_cannot_be_loaded_leaves_its_slot_empty_and_fails_in_shadow(trials, name):
    trial = trials[name]
    assert (trial.said("warm-up"), trial.said("shadow")) == ("slot refused", "shadow_error (rollback)")
    assert trial.requests == 8, "a handful of requests that nobody saw were enough"


def test_a_pickle_is_never_run(trials, settings):
    assert trials["malicious: pickle"].is_stopped
    assert not (settings.bundles / "unpickled").exists()


@pytest.fixture(scope="module")
def fates(world: World) -> dict[str, Fate]:
    recording = recording_of(world)
    asked = (("ids permuted", 0.5), ("noise on weights", 0.01), ("noise on weights", 5.0), ("stale items", 0.5))
    return {f"{kind} {size}": send_on(world, recording, Corruption(kind, size, seed=1)) for kind, size in asked}


def test_fifty_corruptions_are_named_and_seeded():
    assert len(CORRUPTIONS) == 50
    assert len({(corruption.kind, corruption.size) for corruption in CORRUPTIONS}) == 50
    assert len({corruption.seed for corruption in CORRUPTIONS}) == 50


@pytest.mark.parametrize("name", ["ids permuted 0.5", "noise on weights 5.0"])
def test_a_gross_corruption_is_stopped_by_the_gate_and_by_the_canary_alone(fates, name):
    fate = fates[name]
    assert fate.stopped_at == "gate"
    assert fate.canary.startswith("rollback")
    assert fate.clicks < -0.05
    assert fate.judgement == "harmful, stopped"


def test_a_corruption_that_changes_next_to_nothing_is_let_through(fates):
    fate = fates["noise on weights 0.01"]
    assert abs(fate.clicks) < 0.02
    assert (fate.gate, fate.shadow) == ("", "")
    assert "worse" not in fate.canary
    assert replace(fate, is_promoted=True).judgement == "within the margin, let through"


def test_stale_items_are_refused_by_name(fates):
    assert "current_catalogue" in fates["stale items 0.5"].gate


def test_a_harmful_corruption_that_stops_nowhere_is_called_missed(fates):
    missed = replace(fates["ids permuted 0.5"], gate="", shadow="", is_promoted=True)
    assert (missed.stopped_at, missed.is_missed, missed.judgement) == ("nowhere", True, "**missed**")


def test_a_corruption_is_the_same_when_it_is_made_again(world):
    corruption = Corruption("ids permuted", 0.1, seed=3)
    assert corruption.make(world) == corruption.make(world) != replace(corruption, seed=4).make(world)


def test_the_true_click_rate_is_what_many_visits_come_to(world):
    recording = recording_of(world)
    hits, shown = recording.champion.hits[recording.rows], recording.champion.shown[recording.rows]
    error = (hits - hits.sum() / shown.sum() * shown).std() / shown.mean() / np.sqrt(len(hits))
    assert abs(hits.sum() / shown.sum() - recording.click_rate(recording.champion)) < 4 * error
