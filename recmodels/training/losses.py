"""What training minimises. A loss takes packed positions: P queries with one target each, no padding."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from torch import Tensor, nn

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.layers.item_table import ItemTable
from recmodels.training.negatives import Negatives
from recmodels.training.softmax import SCORES_AT_ONCE, SoftmaxOverAll, SoftmaxOverSample, where_same


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
    same = where_same(target, negatives.ids)
    vectors = table.vectors(target), table.vectors(negatives.ids)  # (P, D), (S, D)
    loss: Tensor = SoftmaxOverSample.apply(query, *vectors, negatives.log_q, same, SCORES_AT_ONCE)  # type: ignore[no-untyped-call]
    return loss


SAMPLED_LOSSES: Final[Mapping[str, SampledLoss]] = MappingProxyType(
    {"sampled_softmax": sampled_softmax, "bce": bce, "gbce": gbce}
)
"""By the name that a model's configuration gives them."""


def cross_entropy(query: Tensor, target: Tensor, table: ItemTable, *, scores_at_once: int = SCORES_AT_ONCE) -> Tensor:
    """Return the mean cross-entropy of the target against the whole catalogue.

    Args:
        query: (P, D).
        target: (P,) item indices.
        table: Vectors of all items; those of padding and unknown items do not take part.
        scores_at_once: Scores held at a time; at least one position's.

    Returns:
        A scalar; NaN when P is 0.
    """
    items = table.vectors()[FIRST_ITEM:]  # (N, D)
    loss: Tensor = SoftmaxOverAll.apply(query, items, target - FIRST_ITEM, scores_at_once)  # type: ignore[no-untyped-call]
    return loss
