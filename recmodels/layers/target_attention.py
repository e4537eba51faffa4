"""What of a history matters to one candidate: attention whose query is the item that may be shown."""

import torch
from torch import Tensor, nn

_SPREAD = 0.05


class TargetAttention(nn.Module):
    """A mean of the items of a history, weighted by a small network of item, candidate and age.

    The network sees the candidate t, the item h and their products t * h, as the activation unit of DIN does (Zhou et
    al. 2018, section 4.3). Its first layer is a sum of three products, so that of h is made once a history and that of
    t once a candidate. Beyond DIN: a number for each age, the newest event being 0 (theirs has no order); a softmax
    over the history (theirs keeps the sum's size); and a learned vector that stands beside every history and takes part
    in the softmax, which is therefore the answer to an empty one.

    Args:
        embedding_dim: D.
        hidden_dim: A, size of the network's layer.
        max_length: Longest history.
    """

    def __init__(self, embedding_dim: int, *, hidden_dim: int, max_length: int) -> None:
        super().__init__()
        self.of_target = nn.Linear(embedding_dim, hidden_dim)
        self.of_item = nn.Linear(embedding_dim, hidden_dim, bias=False)
        self.of_product = nn.Linear(embedding_dim, hidden_dim, bias=False)
        self.weigh = nn.Linear(hidden_dim, 1, bias=False)
        self.ages = nn.Parameter(torch.zeros(max_length))
        self.nothing = nn.Parameter(torch.empty(embedding_dim))
        self.nothing_score = nn.Parameter(torch.zeros(1))
        nn.init.normal_(self.nothing, std=_SPREAD)

    def forward(self, target: Tensor, history: Tensor, is_item: Tensor, request: Tensor | None = None) -> Tensor:
        """Return what each candidate sees of its history, (N, D).

        Args:
            target: (N, D) candidates.
            history: (R, L, D) items of R histories, padded on the left, L at most `max_length`.
            is_item: (R, L) bool; False for padding.
            request: (N,) int64, which history is whose; None where R is N and row n is n's.
        """
        keys = self.of_item(history)  # (R, L, A)
        if request is not None:
            keys, history = keys.index_select(0, request), history.index_select(0, request)
            is_item = is_item.index_select(0, request)
        target = target[:, None]  # (N, 1, D)
        hidden = nn.functional.relu(self.of_product(target * history) + keys + self.of_target(target))  # (N, L, A)
        scores = self.weigh(hidden)[:, :, 0] + self.ages[: history.shape[1]].flip(0)  # (N, L)
        scores = scores.masked_fill(~is_item, -torch.inf)
        nothing = self.nothing_score.expand(scores.shape[0], 1)  # len() would fix the size in an export
        weights = torch.cat([nothing, scores], dim=1).softmax(dim=1)  # (N, 1 + L)
        seen = torch.bmm(weights[:, None, 1:], history)[:, 0]  # (N, D)
        return weights[:, :1] * self.nothing + seen
