"""What training minimises. A loss takes packed positions: P queries with one target each, no padding."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.layers.item_table import ItemTable
from recmodels.training.negatives import Negatives

LOGITS_AT_ONCE: Final = 2**24
"""Scores that `cross_entropy` holds at a time, in numbers: 64 MB."""


class SampledLoss(Protocol):
    """A loss of the target against sampled items; a negative that is the position's own target is left out."""

    def __call__(self, query: Tensor, target: Tensor, table: ItemTable, negatives: Negatives) -> Tensor:
        """Return the mean over the positions.

        Args:
            query: (P, D).
            target: (P,) item indices.
            table: Vectors of all items.
            negatives: (S,) shared by all positions.

        Returns:
            A scalar; NaN when P is 0.
        """
        ...


def bce(query: Tensor, target: Tensor, table: ItemTable, negatives: Negatives) -> Tensor:
    """Return the binary cross-entropy of "this one" against the sample, as a `SampledLoss`.

    Its scores overestimate how likely an item is, the more so the fewer items are sampled. Source: Kang and McAuley
    2018, equation 7, with S negatives shared by all positions and the mean over the 1 + S terms.
    """
    return gbce(query, target, table, negatives, calibration=0.0)


def gbce(query: Tensor, target: Tensor, table: ItemTable, negatives: Negatives, *, calibration: float = 0.75) -> Tensor:
    """Return the binary cross-entropy whose positive counts less, as a `SampledLoss`.

    The positive's probability is raised to beta = 1 - t (1 - alpha), where alpha is the share of the catalogue that is
    sampled and t the calibration. Source: Petrov and Macdonald 2023 (gSASRec), where beta is
    alpha (t (1 - 1 / alpha) + 1 / alpha); t = 0.75 is their choice. The sample is taken as uniform: alpha is the mean
    of exp(log q).

    Args:
        query: (P, D).
        target: (P,) item indices.
        table: Vectors of all items.
        negatives: (S,) shared by all positions.
        calibration: t, from 0 (`bce`) to 1 (the scores' sigmoids are calibrated probabilities of a softmax).

    Returns:
        A scalar; NaN when P is 0.
    """
    beta = 1 - calibration * (1 - negatives.log_q.exp().mean())
    positive = (query * table.vectors(target)).sum(dim=-1)  # (P,)
    logits = query @ table.vectors(negatives.ids).T  # (P, S)
    against = nn.functional.softplus(logits).masked_fill(target[:, None] == negatives.ids, 0).sum(dim=1)  # (P,)
    return ((against - beta * nn.functional.logsigmoid(positive)) / (1 + len(negatives.ids))).mean()


def sampled_softmax(query: Tensor, target: Tensor, table: ItemTable, negatives: Negatives) -> Tensor:
    """Return the cross-entropy of the target against the sample, as a `SampledLoss`.

    The negatives' logits are lowered by log q, so that their sum of exponentials estimates the sum over the whole
    catalogue. The target itself is always present, so that its logit takes no correction. Source: Bengio and Senecal
    2008, equation 10, with the target's term kept exact.
    """
    positive = (query * table.vectors(target)).sum(dim=-1)  # (P,)
    logits = query @ table.vectors(negatives.ids).T - negatives.log_q  # (P, S)
    logits = logits.masked_fill(target[:, None] == negatives.ids, -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], logits], dim=1), dim=1) - positive).mean()


SAMPLED_LOSSES: Final[Mapping[str, SampledLoss]] = MappingProxyType(
    {"sampled_softmax": sampled_softmax, "bce": bce, "gbce": gbce}
)
"""By the name that a model's configuration gives them."""


def cross_entropy(query: Tensor, target: Tensor, table: ItemTable, *, logits_at_once: int = LOGITS_AT_ONCE) -> Tensor:
    """Return the mean cross-entropy of the target against the whole catalogue.

    Positions are taken a few at a time, and their gradient is computed with them, so that the (P, N) scores never stand
    in memory together.

    Args:
        query: (P, D).
        target: (P,) item indices.
        table: Vectors of all items; those of padding and unknown items do not take part.
        logits_at_once: Scores held at a time; at least one position's.

    Returns:
        A scalar; NaN when P is 0.
    """
    items = table.vectors()[FIRST_ITEM:]  # (N, D)
    rows = max(1, logits_at_once // len(items))
    loss: Tensor = _ChunkedCrossEntropy.apply(query, items, target - FIRST_ITEM, rows)  # type: ignore[no-untyped-call]
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The mean over positions of logsumexp(query items') - query items[target]', and its two gradients."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, items: Tensor, target: Tensor, rows: int) -> Tensor:
        total = torch.zeros((), device=query.device)
        query_gradient, items_gradient = torch.zeros_like(query), torch.zeros_like(items)
        parts = (torch.split(tensor, rows) for tensor in (query, target, query_gradient))
        for queries, targets, gradient in zip(*parts, strict=True):
            places = torch.arange(len(targets), device=target.device)
            logits = (queries @ items.T).float()  # (C, N)
            logsum = logits.logsumexp(dim=1, keepdim=True)
            total += (logsum[:, 0] - logits[places, targets]).sum()
            errors = (logits - logsum).exp_()  # (C, N) the softmax, less 1 at the target
            errors[places, targets] -= 1
            gradient.copy_(errors @ items)
            items_gradient += errors.T @ queries
        ctx.save_for_backward(query_gradient.div_(len(query)), items_gradient.div_(len(query)))
        return total / len(query)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query_gradient, items_gradient = ctx.saved_tensors
        (loss_gradient,) = gradients
        return loss_gradient * query_gradient, loss_gradient * items_gradient, None, None
