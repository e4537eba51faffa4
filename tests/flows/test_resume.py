"""A lifecycle that is killed with SIGKILL finishes when it is started again, with one of everything."""

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.lifecycle import LifecycleOutcome, lifecycle
from flows.references import Traffic
from flows.wiring import Platform, connect
from infra.settings import Settings
from tests.flows.homes import RECIPES, WORLD, Lived, Trace, at_home, run_until_killed, steps_of, trace_of
from tests.flows.killed import EPOCHS_BEFORE


@dataclass(frozen=True)
class Interrupted:
    """A home whose lifecycle was killed in the middle of a training, again before the release, and then ran through.

    Attributes:
        home: Its stores.
        epochs: Epochs in the checkpoint that the first death left.
        in_training: What the home held after the first death.
        before_release: What it held after the second.
        outcome: What the third start came to.
    """

    home: Platform
    epochs: int
    in_training: Trace
    before_release: Trace
    outcome: LifecycleOutcome


@pytest.fixture(scope="module")
def interrupted(
    server: Settings, mlflow_template: Path, first_death: tuple[Path, subprocess.Popen[str]]
) -> Interrupted:
    root, dying = first_death
    with at_home(root, server, mlflow=mlflow_template) as settings:
        _await_death(dying)
        epochs, in_training = _epochs_kept(settings), trace_of(settings)
        _await_death(run_until_killed("stages", settings))
        before_release = trace_of(settings)
        outcome = lifecycle(WORLD, RECIPES, Traffic.LIVE)
        return Interrupted(connect(settings), epochs, in_training, before_release, outcome)


def _await_death(process: subprocess.Popen[str]) -> None:
    _, words = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, words[-3000:]


def _epochs_kept(settings: Settings) -> int:
    (progress,) = settings.runs.glob("*/checkpoints/epoch-*/progress.json")
    return len(json.loads(progress.read_text())["epochs"])


def test_training_goes_on_from_its_checkpoint_when_it_was_killed(interrupted: Interrupted) -> None:
    assert interrupted.epochs == EPOCHS_BEFORE
    sasrec = next(c for c in interrupted.outcome.candidates if c.recipe.name == "sasrec")
    assert steps_of(interrupted.home, sasrec.run_id, "loss") == [1, 2, 3, 4, 5, 6]


def test_bundles_are_those_of_an_uninterrupted_run_when_a_training_was_killed(
    interrupted: Interrupted, lived: Lived
) -> None:
    digests = {c.recipe.name: c.digest for c in interrupted.outcome.candidates}
    assert digests == {c.recipe.name: c.digest for c in lived.first.candidates}
    assert interrupted.outcome.snapshot.fingerprint == lived.first.snapshot.fingerprint


def test_there_is_one_run_and_one_version_of_each_when_a_lifecycle_was_killed_twice(
    interrupted: Interrupted, lived: Lived
) -> None:
    found = trace_of(interrupted.home.settings)
    assert sorted(found.runs.values()) == sorted(lived.after_first.runs.values())
    assert found.models == lived.after_first.models
    assert found.lake == lived.after_first.lake
    assert found.rollouts == lived.after_first.rollouts


def test_nothing_is_released_when_the_process_died_before_the_release(interrupted: Interrupted) -> None:
    assert interrupted.in_training.models == interrupted.before_release.models == ()
    assert interrupted.in_training.rollouts == interrupted.before_release.rollouts == ()


def test_nothing_is_trained_again_when_the_process_died_between_two_stages(interrupted: Interrupted) -> None:
    assert [c.was_done for c in interrupted.outcome.candidates] == [True] * len(RECIPES)
    found = trace_of(interrupted.home.settings)
    assert found.files == interrupted.before_release.files
    assert found.runs == interrupted.before_release.runs


def test_closed_forms_that_were_done_are_left_alone_when_a_later_training_died(interrupted: Interrupted) -> None:
    kept = {path: at for path, at in interrupted.in_training.files.items() if "checkpoints" not in path}
    assert kept
    assert kept.items() <= interrupted.before_release.files.items()
