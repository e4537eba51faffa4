"""What a training will take, told before it starts: time, memory and disk."""

from collections.abc import Callable
from dataclasses import dataclass

from recmodels.errors import TrainingError
from recmodels.models._gradient import GradientModel
from recmodels.trainer_config import TrainerConfig
from recmodels.training.loop import Loop

_FLOAT_BYTES = 4
_FEWEST_STEPS = 200
"""Trainings of fewer steps are over before it pays to try one."""


@dataclass(frozen=True)
class Forecast:
    """What a training will take.

    Attributes:
        steps: Of all epochs; early stopping takes fewer.
        seconds: Of these steps, without validation; None for a training of a few steps, which is not timed.
        memory_bytes: Of weights, gradients, the optimizer's moments, and what a step keeps for the backward pass.
        disk_bytes: Of two checkpoints, each with its best weights: a new one is written before the old one goes.
    """

    steps: int
    seconds: float | None
    memory_bytes: int
    disk_bytes: int

    @property
    def words(self) -> str:
        """The forecast as part of a sentence."""
        time = "" if self.seconds is None else f"up to {_duration(self.seconds)} for {self.steps:,} steps, "
        return f"{time}{self.memory_bytes / 1e9:.2f} GB of memory, {self.disk_bytes / 1e9:.2f} GB of disk"


def check_memory(model: GradientModel, config: TrainerConfig, *, name: str, memory_bytes: int | None) -> int:
    """Return the forecast of memory, which needs no data, and refuse what does not fit.

    Raises:
        TrainingError: The forecast is above `memory_bytes`.
    """
    forecast = model.forecast_bytes(config.batch_size) + (_weights(model) if config.averaging else 0)
    if memory_bytes is not None and forecast > memory_bytes:
        raise TrainingError(
            f"training {name} is forecast to take {forecast / 1e9:.2f} GB; {memory_bytes / 1e9:.2f} GB are "
            f"free. Lower trainer.batch_size (now {config.batch_size}) or the model's max_length."
        )
    return forecast


def make_forecast(
    loop: Loop,
    config: TrainerConfig,
    *,
    name: str,
    memory_bytes: int,
    disk_bytes: int | None,
    clock: Callable[[], float],
) -> Forecast:
    """Tell what a training will take, from one step that is tried and forgotten.

    Args:
        loop: Before its first epoch.
        config: Of the training.
        name: Of the recipe.
        memory_bytes: What `check_memory` returned.
        disk_bytes: Free where checkpoints are kept; None where none are kept, or to refuse none.
        clock: Seconds that only grow.

    Raises:
        TrainingError: Two checkpoints take more than `disk_bytes`.
    """
    # the weights, the best so far, two moments of each weight, and their running mean
    checkpoint = (4 + bool(config.averaging)) * _weights(loop.model)
    if disk_bytes is not None and 2 * checkpoint > disk_bytes:
        raise TrainingError(
            f"checkpoints of {name} are forecast to take {2 * checkpoint / 1e9:.2f} GB of disk; "
            f"{disk_bytes / 1e9:.2f} GB are free. Free some, or lower the model's embedding_dim."
        )
    seconds = loop.try_seconds(clock) if loop.steps >= _FEWEST_STEPS else None
    return Forecast(loop.steps, seconds, memory_bytes, 2 * checkpoint)


def _weights(model: GradientModel) -> int:
    return _FLOAT_BYTES * sum(parameter.numel() for parameter in model.parameters())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
