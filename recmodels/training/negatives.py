"""Items that stand for "not this one" in a sampled loss."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from recmodels.data.vocabulary import FIRST_ITEM

_LEAST = 1e-7
"""Frequency of an item that is said never to occur, and yet does."""


_SPARSE: Final = 256
"""Items for each that is drawn from which on numbers are drawn until enough differ, rather than all being shuffled."""


@dataclass(frozen=True, eq=False)
class Negatives:
    """Sampled items with the correction that makes a loss over them estimate the loss over all.

    Attributes:
        ids: (S,) item indices.
        log_q: (S,) logarithm of how often each is expected to stand in the sample; 0 where each item stands in it
            exactly once. A required field: leaving it out lets popular negatives be punished for being drawn.
    """

    ids: Tensor
    log_q: Tensor


def uniform_negatives(count: int, vocabulary_size: int, *, device: torch.device | None = None) -> Negatives:
    """Draw distinct items, each equally likely, from torch's generator.

    Args:
        count: S, at least 1; all items where there are not more.
        vocabulary_size: V, the two special entries included.
        device: Of the result.
    """
    num_items = vocabulary_size - FIRST_ITEM
    size = min(count, num_items)
    ids = _distinct(size, num_items, device=device) + FIRST_ITEM
    return Negatives(ids, torch.full((size,), math.log(size / num_items), device=device))


def _distinct(size: int, num_items: int, *, device: torch.device | None) -> Tensor:
    """Draw `size` of the numbers below `num_items`, every subset equally likely."""
    if num_items < _SPARSE * size:
        return torch.randperm(num_items, device=device)[:size]
    drawn = torch.empty(0, dtype=torch.int64, device=device)
    while len(drawn) < size:  # once or twice: few of so many are drawn twice
        more = torch.randint(num_items, (size,), device=device)
        drawn = torch.unique(torch.cat([drawn, more]))
    return drawn[torch.randperm(len(drawn), device=device)[:size]]


def in_batch_negatives(target: Tensor, frequency: Tensor, *, most: int) -> Negatives:
    """Take distinct targets of a batch, each of which is a negative for the batch's other positions.

    A popular item is in nearly every batch, a rare one hardly ever, which is what log q makes good: item i is among P
    targets with probability 1 - (1 - f)^P, and is taken with that of `most` among the distinct ones. Source: Yi et al.
    2019, section 3, with frequencies counted on the training part rather than estimated from the batches.

    Args:
        target: (P,) item indices, at least one.
        frequency: (V,) share of all training events that are of each item.
        most: At most so many are taken, chosen by torch's generator.
    """
    distinct = torch.unique(target)
    size = min(most, len(distinct))
    ids = distinct[torch.randperm(len(distinct), device=distinct.device)[:size]]
    return Negatives(ids, _expected(ids, frequency, positions=len(target), share=size / len(distinct)).log())


def mixed_negatives(target: Tensor, frequency: Tensor, *, most: int, uniform: int) -> Negatives:
    """Take targets of the batch and, beside them, items drawn uniformly, which rare items need.

    Source: Yang et al. 2020.
    An item may stand in the sample twice. It is expected there as often as both ways bring it together, and log q says
    so at both places.

    Args:
        target: (P,) item indices, at least one.
        frequency: (V,) share of all training events that are of each item.
        most: At most so many targets.
        uniform: Items drawn beside them; all where there are not more.
    """
    drawn = uniform_negatives(uniform, len(frequency), device=target.device)
    shown = in_batch_negatives(target, frequency, most=most)
    ids = torch.cat([shown.ids, drawn.ids])
    taken = len(shown.ids) / len(torch.unique(target))
    expected = _expected(ids, frequency, positions=len(target), share=taken) + drawn.log_q[0].exp()
    return Negatives(ids, expected.log())


def _expected(ids: Tensor, frequency: Tensor, *, positions: int, share: float) -> Tensor:
    is_there = -torch.expm1(positions * torch.log1p(-frequency[ids].clamp(max=1 - _LEAST)))
    return is_there.clamp(min=_LEAST) * share
