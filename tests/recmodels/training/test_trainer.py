import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recmodels.data.histories import Histories
from recmodels.errors import CheckpointError, TrainingError
from recmodels.models import MODELS
from recmodels.models.sasrec import Model as SasRec
from recmodels.training.data import TrainingData
from recmodels.training.loop import Loop
from recmodels.training.trainer import refit, train
from tests.recmodels.worlds import a_recipe, circles_split, write_trained

TINY = {"embedding_dim": 16, "num_layers": 1, "num_heads": 2, "max_length": 6, "negatives": 16}
STEPS = {"batch_size": 32, "learning_rate": 0.01, "checkpoint_seconds": 0.0}
REPOSITORY = Path(__file__).parents[3]


class WithoutExport(SasRec):
    """The real model; its export, which takes seconds, is left out where only weights are compared."""

    def export(self):
        return self


@pytest.fixture(scope="module")
def split():
    return circles_split(users=120)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("recmodels.models.sasrec.Model", WithoutExport)


class StopError(Exception):
    pass


def interrupt_after(epoch):
    def on_epoch(metrics):
        if metrics.epoch == epoch:
            raise StopError

    return on_epoch


def weights(trained):
    return {name: value.numpy().tobytes() for name, value in trained.scorer.state_dict().items()}


def metrics_of(trained):
    return [(e.epoch, e.loss, e.ndcg_at_10, e.recall_at_10) for e in trained.epochs]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("interruptions", "changes"),
    [((1,), {}), ((2, 4), {"averaging": 0.9, "schedule": "cosine"}), ((3,), {"item_steps": "rows", "warmup_steps": 5})],
)
def test_weights_are_bit_equal_when_training_was_interrupted_and_resumed(split, tmp_path, interruptions, changes):
    recipe = a_recipe("sasrec", TINY, epochs=5, patience=5, **STEPS, **changes)
    whole = train(recipe, split, checkpoint_folder=None, seed=3)
    for epoch in interruptions:
        with pytest.raises(StopError):
            train(recipe, split, checkpoint_folder=tmp_path, seed=3, on_epoch=interrupt_after(epoch))
    seen = []
    resumed = train(recipe, split, checkpoint_folder=tmp_path, seed=3, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == list(range(interruptions[-1] + 1, 6))
    assert weights(resumed) == weights(whole)
    assert metrics_of(resumed) == metrics_of(whole)
    assert resumed.metrics == whole.metrics


@pytest.mark.usefixtures("quick")
def test_a_finished_training_is_not_repeated_when_it_is_started_again(split, tmp_path):
    recipe = a_recipe("sasrec", TINY, epochs=2, **{**STEPS, "checkpoint_seconds": 1e6})
    first = train(recipe, split, checkpoint_folder=tmp_path, seed=3)
    again = train(recipe, split, checkpoint_folder=tmp_path, seed=3, on_epoch=interrupt_after(1))
    assert weights(again) == weights(first)
    assert again.epochs == first.epochs


@pytest.mark.usefixtures("quick")
def test_a_checkpoint_is_refused_when_recipe_seed_or_data_differ(split, tmp_path):
    recipe = a_recipe("sasrec", TINY, epochs=1, **STEPS)
    train(recipe, split, checkpoint_folder=tmp_path, seed=3)
    other_recipe = a_recipe("sasrec", TINY | {"dropout": 0.1}, epochs=1, **STEPS)
    for changed in [(other_recipe, split, 3), (recipe, split, 4), (recipe, circles_split(users=121), 3)]:
        with pytest.raises(CheckpointError, match="belongs to run"):
            train(changed[0], changed[1], checkpoint_folder=tmp_path, seed=changed[2])


@pytest.mark.usefixtures("quick")
def test_weights_differ_when_the_seed_does(split):
    recipe = a_recipe("sasrec", TINY, epochs=1, **STEPS)
    one, two = (train(recipe, split, checkpoint_folder=None, seed=seed) for seed in (1, 2))
    assert weights(one) != weights(two)


@pytest.mark.usefixtures("quick")
def test_the_best_epoch_is_kept_when_later_ones_are_worse(split):
    recipe = a_recipe("sasrec", TINY, epochs=30, patience=2, **(STEPS | {"learning_rate": 0.03}))
    trained = train(recipe, split, checkpoint_folder=None, seed=0)
    ndcgs = [epoch.ndcg_at_10 for epoch in trained.epochs]
    assert len(ndcgs) < 30
    assert trained.best_epoch == 1 + int(np.argmax(ndcgs)) == len(ndcgs) - 2
    assert trained.metrics == {"ndcg_at_10": max(ndcgs), "recall_at_10": trained.epochs[-3].recall_at_10}


@pytest.mark.usefixtures("quick")
def test_one_epochs_weights_are_on_disk_when_better_ones_come_between_checkpoints(split, tmp_path):
    seen = []
    recipe = a_recipe("sasrec", TINY, epochs=6, **(STEPS | {"checkpoint_seconds": 1e6}))
    trained = train(
        recipe,
        split,
        checkpoint_folder=tmp_path,
        seed=0,
        on_epoch=lambda epoch: seen.append(sorted(path.name for path in tmp_path.iterdir())),
    )
    bests = [1 + int(np.argmax([epoch.ndcg_at_10 for epoch in trained.epochs[:count]])) for count in range(1, 7)]
    assert len(set(bests)) > 1
    names = [f"best-{best:06d}.safetensors" for best in bests]
    assert seen == [[name] for name in names[:-1]] + [[names[-1], "epoch-000006"]]


@pytest.mark.usefixtures("quick")
def test_every_step_and_epoch_is_told_when_callbacks_are_given(split):
    steps, epochs = [], []
    recipe = a_recipe("sasrec", TINY, epochs=2, **STEPS)
    ticks = iter(range(1000))
    trained = train(
        recipe,
        split,
        checkpoint_folder=None,
        seed=0,
        clock=lambda: float(next(ticks)),
        on_step=lambda done, most: steps.append((done, most)),
        on_epoch=epochs.append,
    )
    assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]
    assert epochs == trained.epochs
    assert [epoch.seconds for epoch in epochs] == [1.0, 1.0]


class Exploding(SasRec):
    steps = 0

    def loss(self, rows):
        self.steps += 1
        loss = super().loss(rows) * (float("nan") if self.steps == 3 else 1.0)
        if self.steps == 7:
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss


def test_training_stops_and_names_the_step_when_a_loss_is_not_finite(split, monkeypatch):
    monkeypatch.setattr("recmodels.models.sasrec.Model", Exploding)
    recipe = a_recipe("sasrec", TINY, epochs=2, **STEPS)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3 \(epoch 1\), with a learning rate of 0.01"):
        train(recipe, split, checkpoint_folder=None, seed=0)


def test_training_stops_and_names_the_step_when_a_gradient_is_not_finite(split, monkeypatch):
    monkeypatch.setattr("recmodels.models.sasrec.Model", Exploding)
    monkeypatch.setattr(Exploding, "steps", 3)
    recipe = a_recipe("sasrec", TINY, epochs=2, **STEPS)
    with pytest.raises(TrainingError, match=r"the gradient is (nan|inf) at step 4 \(epoch 1\)"):
        train(recipe, split, checkpoint_folder=None, seed=0)


@pytest.mark.usefixtures("quick")
def test_the_running_mean_is_judged_and_kept_when_weights_are_averaged(split):
    own, mean = (
        train(a_recipe("sasrec", TINY, epochs=2, averaging=share, **STEPS), split, checkpoint_folder=None, seed=0)
        for share in (0.0, 0.9)
    )
    assert [epoch.loss for epoch in own.epochs] == [epoch.loss for epoch in mean.epochs]  # the same steps
    assert own.metrics != mean.metrics
    assert weights(own) != weights(mean)
    for trained in (own, mean):  # judged as it is served, without dropout
        assert trained.metrics["ndcg_at_10"] == max(epoch.ndcg_at_10 for epoch in trained.epochs)


@pytest.mark.usefixtures("quick")
def test_what_training_will_take_is_told_before_its_first_step(split):
    told = []
    recipe = a_recipe("sasrec", TINY, epochs=60, patience=1, **STEPS)
    ticks = iter(range(1000))
    first = train(
        recipe,
        split,
        checkpoint_folder=None,
        seed=0,
        clock=lambda: float(next(ticks)),
        on_forecast=told.append,
        on_step=lambda done, most: told.append((done, most)),
    )
    forecast = told[0]
    assert told[1] == (1, forecast.steps)
    assert forecast.seconds == pytest.approx(forecast.steps, rel=0.5)  # the clock says that a step takes a second
    numbers = sum(value.numel() for value in first.scorer.state_dict().values())
    assert forecast.disk_bytes == 2 * 4 * 4 * numbers
    assert forecast.memory_bytes > 5 * 4 * numbers
    assert "for 240 steps, 0.01 GB of memory, 0.00 GB of disk" in forecast.words
    untold = train(recipe, split, checkpoint_folder=None, seed=0)
    assert weights(first) == weights(untold)


@pytest.mark.usefixtures("quick")
def test_training_is_refused_when_checkpoints_do_not_fit_on_the_disk(split):
    words = r"checkpoints of sasrec are forecast to take .* GB of disk; 0.00 GB are free"
    with pytest.raises(TrainingError, match=words):
        train(a_recipe("sasrec", TINY, **STEPS), split, checkpoint_folder=None, seed=0, disk_bytes=1000)


def test_training_is_refused_with_numbers_when_the_forecast_does_not_fit(split):
    recipe = a_recipe("sasrec", {"max_length": 200}, batch_size=512)
    with pytest.raises(TrainingError, match=r"forecast to take 1\.\d\d GB; 1.00 GB are free. Lower trainer.batch_size"):
        train(recipe, split, checkpoint_folder=None, seed=0, memory_bytes=10**9)


def test_training_is_refused_when_no_history_holds_an_event(split):
    config = MODELS.config("sasrec", TINY)
    with pytest.raises(TrainingError, match="hold no event"):
        Loop(SasRec(config, 10), Histories.from_lists([[], []]), config=a_recipe().trainer, seed=0, on_step=None)


@pytest.mark.usefixtures("quick")
def test_settings_of_torch_are_as_before_when_training_ends(split):
    torch.set_num_threads(1)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train(a_recipe("sasrec", TINY, epochs=1, **STEPS), split, checkpoint_folder=None, seed=0, threads=2)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_a_closed_form_has_no_epochs_when_it_is_trained(split, tmp_path):
    trained = train(a_recipe("ease"), split, checkpoint_folder=tmp_path, seed=0)
    assert (trained.epochs, trained.best_epoch, list(tmp_path.iterdir())) == ([], 0, [])
    assert set(trained.metrics) == {"ndcg_at_10", "recall_at_10"}
    data = TrainingData(split.train, split.vocabulary, split.item_counts, split.train_until)
    direct = MODELS.build("ease", MODELS.config("ease", {}), split.vocabulary.size).fit(data).export()
    np.testing.assert_array_equal(trained.scorer.weights.toarray(), direct.weights.toarray())


@pytest.mark.usefixtures("quick")
def test_refit_takes_the_same_steps_when_its_data_is_the_training_part(split):
    recipe = a_recipe("sasrec", TINY, epochs=2, patience=2, **STEPS)
    trained = train(recipe, split, checkpoint_folder=None, seed=3)
    refitted = refit(recipe, split, epochs=trained.best_epoch, seed=3)
    for name, value in refitted.state_dict().items():
        assert torch.equal(value, trained.scorer.state_dict()[name])


def test_refit_equals_training_when_the_model_is_a_closed_form(split):
    recipe = a_recipe("item_knn")
    trained = train(recipe, split, checkpoint_folder=None, seed=0)
    refitted = refit(recipe, split, epochs=0, seed=0)
    np.testing.assert_array_equal(refitted.weights.toarray(), trained.scorer.weights.toarray())


DIGEST_SCRIPT = """
import sys
from pathlib import Path
from tests.recmodels.worlds import a_recipe, circles_split, write_trained
from recmodels.training.trainer import train
recipe, split = a_recipe("sasrec", {config}, epochs=2, batch_size=32), circles_split(users=60)
trained = train(recipe, split, checkpoint_folder=None, seed=7)
print(write_trained(Path(sys.argv[1]), trained, recipe=recipe, split=split))
"""


@pytest.mark.long
def test_the_digest_is_the_same_when_two_processes_train_the_same_recipe(tmp_path):
    recipe, split = a_recipe("sasrec", TINY, epochs=2, batch_size=32), circles_split(users=60)
    here = write_trained(
        tmp_path / "here", train(recipe, split, checkpoint_folder=None, seed=7), recipe=recipe, split=split
    )
    there = subprocess.run(
        [sys.executable, "-c", DIGEST_SCRIPT.format(config=TINY), str(tmp_path / "there")],
        cwd=REPOSITORY,
        env={"PYTHONHASHSEED": "123", "OMP_NUM_THREADS": "2", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert there.stdout.strip() == here, there.stderr
    for path in (tmp_path / "here" / here).rglob("*.*"):
        assert str(REPOSITORY).encode() not in path.read_bytes()
