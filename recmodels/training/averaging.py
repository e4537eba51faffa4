"""A running mean of a model's weights, which is often better than where the last steps happened to end."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(model: nn.Module, share: float) -> AveragedModel:
    """Return a copy of a model whose `update_parameters` moves it towards the model.

    After n updates the mean keeps min(share, (1 + n) / (10 + n)) of itself, so that the random weights of the beginning
    are soon forgotten.

    Args:
        model: On its device.
        share: Kept a step, below 1.
    """

    def move(means: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        done = int(updates)
        update = get_ema_multi_avg_fn(min(share, (1 + done) / (10 + done)))  # type: ignore[no-untyped-call]  # torch 2.13
        update(means, current, updates)

    return AveragedModel(model, multi_avg_fn=torch.no_grad()(move)).eval()  # it is judged, never trained
