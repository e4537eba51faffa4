"""What training minimises. A loss takes packed positions: P queries with one target each, no padding."""

import torch
from torch import Tensor, nn

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.layers.item_table import ItemTable
from recmodels.training.negatives import Negatives


def sampled_softmax(query: Tensor, target: Tensor, table: ItemTable, negatives: Negatives) -> Tensor:
    """Return the mean cross-entropy of the target against the sample, shared by all positions.

    The negatives' logits are lowered by log q, so that their sum of exponentials estimates the sum over the whole
    catalogue; a negative that is the position's own target is left out. The target itself is always present, so that
    its logit takes no correction. Source: Bengio and Senecal 2008, equation 10, with the target's term kept exact.

    Args:
        query: (P, D).
        target: (P,) item indices.
        table: Vectors of all items.
        negatives: (S,) shared by all positions.

    Returns:
        A scalar; NaN when P is 0.
    """
    positive = (query * table.vectors(target)).sum(dim=-1)  # (P,)
    logits = query @ table.vectors(negatives.ids).T - negatives.log_q  # (P, S)
    logits = logits.masked_fill(target[:, None] == negatives.ids, -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], logits], dim=1), dim=1) - positive).mean()


def cross_entropy(query: Tensor, target: Tensor, table: ItemTable) -> Tensor:
    """Return the mean cross-entropy of the target against the whole catalogue.

    Args:
        query: (P, D).
        target: (P,) item indices.
        table: Vectors of all items; those of padding and unknown items do not take part.

    Returns:
        A scalar; NaN when P is 0.
    """
    logits = query @ table.vectors()[FIRST_ITEM:].T  # (P, N)
    return nn.functional.cross_entropy(logits, target - FIRST_ITEM)
