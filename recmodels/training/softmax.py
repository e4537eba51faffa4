"""Softmaxes whose scores are made, used and dropped a few positions at a time.

Left to autograd, the scores of all positions stand in memory several times over, and passing over them costs more than
the matrix products. Here the scores of a part become, in place, their own gradient, from which those of queries and
items follow at once; nothing of the scores' size is kept.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

SCORES_AT_ONCE: Final = 2**20
"""Scores that stand in memory at a time, in numbers: 4 MB, which a processor's cache holds."""


class Softmax(NamedTuple):
    """Of a part's scores.

    Attributes:
        chances: (C, N) that sum to 1 in each row; zeros where a row has no finite score.
        logsum: (C,) logarithm of the sum of the scores' exponentials; -inf where a row has no finite score.
    """

    chances: Tensor
    logsum: Tensor


class SoftmaxOverAll(torch.autograd.Function):
    """The mean over positions of logsumexp(query items') - query items[target]', and its two gradients."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, items: Tensor, target: Tensor, scores_at_once: int) -> Tensor:
        """Return the loss of (P, D) queries against (N, D) items, of which rows (P,) are the targets."""
        kind = _kind_of_products(query)
        table = items.to(kind)
        total = torch.zeros((), device=query.device)
        query_gradient, items_gradient = torch.empty_like(query), torch.zeros_like(items)
        for part in _parts(len(query), len(items), scores_at_once):
            queries, targets = query[part].to(kind), target[part, None]
            scores = (queries @ table.T).float()  # (C, N)
            errors, logsum = _softmax(scores)
            total += (logsum - scores.gather(1, targets)[:, 0]).sum()
            errors = errors.scatter_add_(1, targets, -errors.new_ones(targets.shape)).to(kind)
            query_gradient[part] = (errors @ table).float()
            items_gradient += errors.T @ queries
        ctx.save_for_backward(query_gradient.div_(len(query)), items_gradient.div_(len(query)))
        return total / len(query)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Return the gradients of query and items."""
        query_gradient, items_gradient = ctx.saved_tensors
        (gradient,) = gradients
        return gradient * query_gradient, gradient * items_gradient, None, None


class SoftmaxOverSample(torch.autograd.Function):
    """The mean over positions of log(1 + exp(logsumexp(query sample' - log_q) - query positive'))."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, positives: Tensor, sample: Tensor, log_q: Tensor, same: Tensor, scores_at_once: int
    ) -> Tensor:
        """Return the loss.

        Args:
            ctx: Keeps the gradients.
            query: (P, D).
            positives: (P, D) vectors of the targets.
            sample: (S, D) vectors of the negatives.
            log_q: (S,).
            same: (2, M) positions, in rising order, and negatives that are their own targets and do not count.
            scores_at_once: As `SCORES_AT_ONCE`.
        """
        kind = _kind_of_products(query)
        table = sample.to(kind)
        logsums = query.new_empty(len(query))
        query_gradient, sample_gradient = torch.empty_like(query), torch.zeros_like(sample)
        positive = (query * positives).sum(dim=1)  # (P,)
        for part in _parts(len(query), len(sample), scores_at_once):
            queries = query[part].to(kind)
            scores = (queries @ table.T).float().sub_(log_q)  # (C, S)
            first, last = torch.searchsorted(same[0], same.new_tensor([part.start, part.stop])).tolist()
            scores[same[0, first:last] - part.start, same[1, first:last]] = -torch.inf
            chances, logsums[part] = _softmax(scores)
            weight = torch.sigmoid(logsums[part] - positive[part])  # (C,) how likely another than the target is
            errors = chances.mul_(weight[:, None]).to(kind)
            query_gradient[part] = (errors @ table).float()
            sample_gradient += errors.T @ queries
        weights = torch.sigmoid(logsums - positive).div_(len(query))[:, None]  # (P, 1)
        query_gradient.div_(len(query)).addcmul_(weights, positives, value=-1)
        ctx.save_for_backward(query_gradient, sample_gradient.div_(len(query)), query, weights)
        return torch.nn.functional.softplus(logsums - positive).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        """Return the gradients of query, positives and sample."""
        query_gradient, sample_gradient, query, weights = ctx.saved_tensors
        (gradient,) = gradients
        return gradient * query_gradient, -gradient * weights * query, gradient * sample_gradient, None, None, None


def where_same(target: Tensor, ids: Tensor) -> Tensor:
    """Return which negatives are whose own target, without a (P, S) comparison.

    Args:
        target: (P,) item indices.
        ids: (S,) item indices, the same more than once where it was drawn so.

    Returns:
        (2, M) positions, in rising order, and places in `ids`.
    """
    ordered, order = ids.sort()
    first, last = torch.searchsorted(ordered, target), torch.searchsorted(ordered, target, right=True)
    counts = last - first  # (P,)
    positions = torch.repeat_interleave(torch.arange(len(target), device=target.device), counts)
    number = torch.arange(len(positions), device=target.device) - torch.repeat_interleave(
        counts.cumsum(0) - counts, counts
    )
    return torch.stack([positions, order[first[positions] + number]])


def _softmax(scores: Tensor) -> Softmax:
    """Return the softmax of (C, N) scores; they stay as they are."""
    chances = torch.softmax(scores, dim=1)
    top = scores.amax(dim=1)
    logsum = top - chances.amax(dim=1).log()
    is_empty = top == -torch.inf
    if is_empty.any():
        chances[is_empty], logsum[is_empty] = 0, -torch.inf
    return Softmax(chances, logsum)


def _parts(rows: int, columns: int, scores_at_once: int) -> Iterator[slice]:
    step = max(1, scores_at_once // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _kind_of_products(tensor: Tensor) -> torch.dtype:
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
