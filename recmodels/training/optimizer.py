"""From gradients to steps: clipped, scheduled, dense for most weights and row by row for large item tables."""

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from recmodels.layers.item_table import ItemTable
from recmodels.trainer_config import TrainerConfig

LARGE_TABLE: Final = 2**18
"""Items from which on a step moves only the rows that a batch names, unless the recipe says otherwise: below, passing
over all rows is cheaper than finding the few."""


class Stepper:
    """Moves a model's weights.

    AdamW moves every weight. A large item table is moved by rows where the loss names a few of its items only: the
    rows' gradients are sparse, and an Adam of their own leaves the other rows and their moments as they are (which
    differs from AdamW: a row that is not named does not drift on, and it is not decayed).

    Args:
        model: Its item tables are told whether their gradients are sparse.
        config: Learning rate, schedule, decay, clipping.
        steps: Of the whole training, which a schedule needs.
        names_few_items: The loss gives no gradient to most items.
    """

    def __init__(self, model: nn.Module, config: TrainerConfig, *, steps: int, names_few_items: bool) -> None:
        self._config = config
        self._steps = steps
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        tables = [table for table in model.modules() if isinstance(table, ItemTable)]
        for table in tables:
            table.has_sparse_gradient = names_few_items and table.weight.requires_grad and _is_by_rows(table, config)
        by_rows = [table.weight for table in tables if table.has_sparse_gradient]
        others = [one for one in self.parameters if not any(one is row for row in by_rows)]
        rate, decay = config.learning_rate, config.weight_decay
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "optimizer": torch.optim.AdamW(others, lr=rate, weight_decay=decay, fused=True)
        }
        if by_rows:
            self.optimizers = {**self.optimizers, "rows": torch.optim.SparseAdam(by_rows, lr=rate)}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def step(self, number: int) -> float:
        """Clip the gradients, move the weights, and return the gradients' norm before clipping.

        Args:
            number: Of the step, from 1, over the whole training.
        """
        norm = clip(self.parameters, most=self._config.gradient_norm)
        rate = self._config.learning_rate * share_of_rate(self._config, number, steps=self._steps)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return norm


def clip(parameters: list[nn.Parameter], *, most: float) -> float:
    """Scale all gradients down so that their common norm is at most `most`, and return what it was.

    Sparse gradients are put in order on the way, so that each row stands in them once.
    """
    gradients: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad.values())
        elif parameter.grad is not None:
            gradients.append(parameter.grad)
    norm = nn.utils.get_total_norm(gradients).item()
    if norm > most:
        for gradient in gradients:
            gradient.mul_(most / norm)
    return norm


def share_of_rate(config: TrainerConfig, number: int, *, steps: int) -> float:
    """Return the share of the learning rate that a step takes, from 0 to 1.

    It grows in equal steps while warming up. Then it is constant, or falls to 0 at the last step: in a straight line,
    or as half a cosine (Loshchilov and Hutter 2017, without restarts).

    Args:
        config: Its `schedule` and `warmup_steps`.
        number: Of the step, from 1.
        steps: Of the whole training.
    """
    warmup = config.warmup_steps
    if number <= warmup:
        return number / warmup
    done = min((number - warmup - 1) / max(steps - warmup, 1), 1.0)
    if config.schedule == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2 if config.schedule == "cosine" else 1.0


def _is_by_rows(table: ItemTable, config: TrainerConfig) -> bool:
    if config.item_steps == "auto":
        return len(table.weight) >= LARGE_TABLE
    return config.item_steps == "rows"
