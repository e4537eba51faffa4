"""From a recipe and a split to what is served: closed forms are fitted, models with a gradient run through epochs."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from recmodels.adaptation.adapter import Adapter
from recmodels.adaptation.focus import focus
from recmodels.adaptation.steps import begin, check_parent, finish
from recmodels.data.cuts import as_microseconds
from recmodels.data.splits import Split, TrainPart
from recmodels.errors import TrainingError
from recmodels.lineage import IN_ONE_GO, WarmStartReport
from recmodels.models import MODELS
from recmodels.models._contract import ClosedFormModel
from recmodels.models._gradient import GradientModel
from recmodels.recipe import Recipe
from recmodels.scorers import Scorer
from recmodels.trainer_config import TrainerConfig
from recmodels.training.checkpoints import EpochMetrics, Progress
from recmodels.training.data import TrainingData
from recmodels.training.determinism import reproducible, run_identity, seed_epoch
from recmodels.training.epochs import Keeper, OnEpoch, run_epochs
from recmodels.training.forecast import Forecast, check_memory, make_forecast
from recmodels.training.loop import Loop, OnStep, Replay
from recmodels.training.validation import Validation
from recmodels.training.warm_start import Parent, go_on
from recmodels.training.workers import Workers

__all__ = ["EpochMetrics", "Parent", "Trained", "refit", "train"]

logger = logging.getLogger(__name__)

OnForecast = Callable[[Forecast], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives.

    Attributes:
        scorer: What is served, of the best epoch.
        metrics: Of the scorer on the validation queries: `ndcg_at_10`, `recall_at_10`.
        epochs: Every epoch, those before an interruption included; none for a closed form.
        best_epoch: Counted from 1; 0 for a closed form.
        weights: Of the best epoch, by their names in the model, so that a later training can go on; none for a closed
            form.
        warm_start: What became of the parent's items; None for a training from scratch.
        adapter: What was trained beside a frozen backbone; None where the backbone itself was.
    """

    scorer: Scorer
    metrics: dict[str, float]
    epochs: list[EpochMetrics]
    best_epoch: int
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    warm_start: WarmStartReport | None = None
    adapter: Adapter | None = None


def train(
    recipe: Recipe,
    split: Split,
    *,
    checkpoint_folder: Path | None,
    seed: int,
    parent: Parent | None = None,
    device: str = "cpu",
    threads: int = 1,
    memory_bytes: int | None = None,
    disk_bytes: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    on_forecast: OnForecast | None = None,
) -> Trained:
    """Train the recipe's model on the split's training part and watch it on the validation part.

    Where the caller has joined a process group of `torch.distributed`, as a script under `torchrun` does, its processes
    train one model together (see `Workers`); each returns the same, and the first alone writes checkpoints.

    Args:
        recipe: What to train.
        split: Only its training and validation parts are used.
        checkpoint_folder: Where a training with epochs is kept and, when it is there already, gone on with to the
            bit; None keeps nothing.
        seed: The same seed, recipe, split and parent give the same weights on one kind of machine.
        parent: Whose weights a model with a gradient goes on from, as `recipe.warm_start` says; None for random ones.
        device: Where a model with a gradient is trained.
        threads: Of torch; sums differ in their last bits with it.
        memory_bytes: A forecast above this is refused; None refuses none.
        disk_bytes: Free where checkpoints are kept; a forecast above this is refused; None refuses none.
        clock: Seconds that only grow.
        on_epoch: Told after every epoch.
        on_step: Told after every step how many of how many are done, of the most that training can take.
        on_forecast: Told what training will take, before its first step.

    Raises:
        TrainingError: A loss or gradient is not finite, a forecast does not fit, the model reads times that the data do
            not have, or the parent does not fit (see `go_on`) or leaves nothing new to learn.
        CheckpointError: The folder holds a damaged checkpoint, or one of another recipe, split, seed, device or parent.
    """
    if recipe.adaptation.is_on:
        check_parent(recipe.adaptation, parent.bundle.digest if parent else "")
        split = focus(split, recipe.adaptation, seed=seed)
    validation = Validation(split, remove_seen=recipe.evaluation.remove_seen, seed=seed)
    with reproducible(threads=threads, device=device):
        model = _build(recipe, split, seed=seed)
        progress, report, adapter = Progress("", (), is_finished=True), None, None
        weights: dict[str, NDArray[np.float32]] = {}
        if isinstance(model, GradientModel):
            memory = check_memory(model, recipe.trainer, name=recipe.name, memory_bytes=memory_bytes)
            report = go_on(model, parent, recipe=recipe, part=split, seed=seed) if parent else None
            begin(model, recipe.adaptation, name=recipe.model.name)
            config, workers = _trainer_config(recipe, report), Workers.of_this_process()
            if recipe.adaptation.method != "frozen":
                loop = _loop(
                    model.to(device), split, recipe, config, report, seed=seed, on_step=on_step, workers=workers
                )
                forecast = make_forecast(
                    loop, config, name=recipe.name, memory_bytes=memory, disk_bytes=disk_bytes, clock=clock
                )
                logger.info("training %s is forecast to take %s", recipe.name, forecast.words)
                if on_forecast:
                    on_forecast(forecast)
                run = run_identity(recipe, split, seed=seed, device=device, parent=report.parent if report else "")
                with Keeper(checkpoint_folder, run, config.checkpoint_seconds, clock, workers) as keeper:
                    progress = run_epochs(loop, validation, config, keeper, on_epoch)
                    del loop  # the optimizer's moments are twice as large as the weights
                    keeper.load_best(model)
            adapter = finish(model, recipe.adaptation)
            weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
        elif parent:
            raise TrainingError(f"{recipe.model.name} {IN_ONE_GO}, so that it cannot go on from a parent. Give none.")
        else:
            model.fit(_training_data(split, seed=seed))
        scorer = model.export()
    measured = validation.measure(scorer)
    metrics = {"ndcg_at_10": measured.ndcg_at_10, "recall_at_10": measured.recall_at_10}
    logger.info("trained %s: ndcg_at_10 %.4f, best epoch %d", recipe.name, measured.ndcg_at_10, progress.best_epoch)
    return Trained(scorer, metrics, list(progress.epochs), progress.best_epoch, weights, report, adapter)


def refit(
    recipe: Recipe,
    part: TrainPart,
    *,
    epochs: int,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    on_step: OnStep | None = None,
) -> Scorer:
    """Train for a number of epochs that an earlier training chose, on data without a validation part.

    Args:
        recipe: What to train.
        part: Training data up to the snapshot's end.
        epochs: `Trained.best_epoch` of the earlier training; closed forms ignore it.
        seed: As for `train`.
        device: As for `train`.
        threads: As for `train`.
        on_step: As for `train`.

    Raises:
        TrainingError: A loss is not finite, or the model reads times that the data do not have.
    """
    with reproducible(threads=threads, device=device):
        model = _build(recipe, part, seed=seed)
        if isinstance(model, GradientModel):
            loop = Loop(
                model.to(device), part.train, config=recipe.trainer, seed=seed, on_step=on_step, targets=part.is_target
            )
            for number in range(1, epochs + 1):
                loop.epoch(number)
            model = loop.judged
        else:
            model.fit(_training_data(part, seed=seed))
        return model.export()


def _build(recipe: Recipe, part: TrainPart, *, seed: int) -> GradientModel | ClosedFormModel:
    seed_epoch(seed, 0)
    model = MODELS.build(recipe.model.name, MODELS.config(recipe.model.name, recipe.model.config), part.vocabulary.size)
    if isinstance(model, GradientModel) and model.uses_time and part.is_order_only:
        raise TrainingError(
            f"{recipe.name} reads the times of events, but these data have an order without times. "
            "Set model.config.time_bias=false."
        )
    if isinstance(model, GradientModel):
        model.prepare(part)
    return cast("GradientModel | ClosedFormModel", model)


def _loop(
    model: GradientModel,
    part: TrainPart,
    recipe: Recipe,
    config: TrainerConfig,
    report: WarmStartReport | None,
    *,
    seed: int,
    on_step: OnStep | None,
    workers: Workers,
) -> Loop:
    replay = _replay(recipe, report)
    return Loop(
        model,
        part.train,
        config=config,
        seed=seed,
        on_step=on_step,
        replay=replay,
        targets=part.is_target,
        workers=workers,
    )


def _trainer_config(recipe: Recipe, report: WarmStartReport | None) -> TrainerConfig:
    config, warm, adaptation = recipe.trainer, recipe.warm_start, recipe.adaptation
    if report is None:
        return config
    if adaptation.is_on:
        return config.model_copy(update={"epochs": adaptation.epochs, "learning_rate": adaptation.learning_rate})
    rate = config.learning_rate * warm.learning_rate_factor
    return config.model_copy(update={"epochs": warm.epochs, "learning_rate": rate})


def _replay(recipe: Recipe, report: WarmStartReport | None) -> Replay | None:
    if report is None or recipe.adaptation.is_on:
        return None
    return Replay(as_microseconds(report.since), recipe.warm_start.replay_share)


def _training_data(part: TrainPart, *, seed: int) -> TrainingData:
    return TrainingData(part.train, part.vocabulary, part.item_counts, part.train_until, seed)
