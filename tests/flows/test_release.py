"""Who is put on the way: the best on validation that was not rolled back, if it beats the one that serves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.references import Candidate
from flows.release import choose
from flows.wiring import Platform, connect
from infra.rollouts import ModelReference, Plan
from infra.settings import Settings
from recmodels.recipe import ModelChoice, Recipe

FIGURES = {"popularity": 0.10, "item_knn": 0.20, "ease": 0.30, "sasrec": 0.25}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _candidate(name: str, *, validation: float) -> Candidate:
    return Candidate(
        recipe=Recipe(name=name, model=ModelChoice(name=name)),
        key=name,
        run_id=name,
        parent_id="parent",
        digest=name.ljust(64, "0"),
        validation={"ndcg_at_10": validation},
        best_epoch=0,
        seconds=1.0,
        was_done=False,
        evaluation=Path(name),
        metrics={"ndcg_at_10": validation},
    )


CANDIDATES = [_candidate(name, validation=value) for name, value in FIGURES.items()]


@pytest.fixture
def platform(home: Settings) -> Iterator[Platform]:
    stores = connect(home)
    _crown(stores, "popularity")
    yield stores
    stores.database.close()


def _reference(name: str) -> ModelReference:
    return ModelReference(name.ljust(64, "0"), 1 + list(FIGURES).index(name))


def _crown(platform: Platform, name: str) -> None:
    platform.rollouts.set_bootstrap_champion(_reference(name), now=NOW, by="test", reason="test")


def _roll_out(platform: Platform, name: str, *, is_good: bool) -> None:
    rollout = platform.rollouts.start(Plan(name, _reference(name), (0.5,)), now=NOW, by="test")
    end = platform.rollouts.promote if is_good else platform.rollouts.roll_back
    end(name, fencing=rollout.fencing, now=NOW, by="test", reason="test")


def _chosen() -> str | None:
    found = choose(CANDIDATES)
    return found.recipe.name if found else None


def test_the_best_on_validation_is_chosen_when_popularity_serves(platform: Platform) -> None:
    assert _chosen() == "ease"


def test_the_next_best_is_chosen_when_the_best_was_rolled_back(platform: Platform) -> None:
    _roll_out(platform, "ease", is_good=False)
    assert _chosen() == "sasrec"
    _roll_out(platform, "sasrec", is_good=False)
    assert _chosen() == "item_knn"
    _roll_out(platform, "item_knn", is_good=False)
    assert _chosen() is None


def test_nobody_is_chosen_when_the_best_serves_already(platform: Platform) -> None:
    _roll_out(platform, "ease", is_good=True)
    assert _chosen() is None


def test_only_a_better_one_is_chosen_when_another_candidate_serves(platform: Platform) -> None:
    _roll_out(platform, "ease", is_good=False)
    _roll_out(platform, "item_knn", is_good=True)
    assert _chosen() == "sasrec"


def test_the_best_is_chosen_when_the_champion_is_of_older_data(platform: Platform) -> None:
    others = [candidate for candidate in CANDIDATES if candidate.recipe.name != "popularity"]
    found = choose(others)
    assert found is not None
    assert found.recipe.name == "ease"


def test_others_meet_the_gate_when_popularity_is_best_on_validation(platform: Platform) -> None:
    popular, *others = CANDIDATES
    best = popular.model_copy(update={"validation": {"ndcg_at_10": 0.9}})
    found = choose([best, *others])
    assert found is not None
    assert found.recipe.name == "ease"
