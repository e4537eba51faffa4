"""What every encoder of histories is: one shape in, one shape out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SequenceEncoder(nn.Module, ABC):
    """Item vectors in, one vector a position out; a position knows its own item and those before it.

    Padding stands on the left and changes nothing for the items after it, however much of it there is. What comes out
    at a padded position is the query of an empty history, the same at each.

    An encoder that `uses_time` takes one more argument: (B, L) int64, the microseconds of each event, never decreasing
    within a row and without meaning at padding. Only the time between events may count.
    """

    uses_time: bool = False
    """Whether times are taken; an encoder that does not is given none."""

    @abstractmethod
    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode every position.

        Args:
            vectors: (B, L, D) item vectors, padded on the left.
            is_item: (B, L) bool; False for padding.

        Returns:
            (B, L, D).
        """

    def last(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode the last position alone, (B, D)."""
        states: Tensor = self(vectors, is_item)
        return states[:, -1]

    @property
    @abstractmethod
    def kept_numbers(self) -> int:
        """About how many numbers a position of the longest history keeps for the backward pass."""
