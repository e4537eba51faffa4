"""What every text encoder is: texts in, one vector each out."""

from typing import ClassVar, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.content import TextConfig


class TextEncoder(Protocol):
    """A plug-in's ``Encoder``: built from its configuration, then shown the catalogue, then asked for vectors.

    The same catalogue gives the same encoder, so that it need not be kept: who holds the items holds the encoder.
    """

    Config: ClassVar[type[TextConfig]]

    def __init__(self, config: TextConfig) -> None: ...

    @property
    def embedding_dim(self) -> int:
        """D, size of every vector."""
        ...

    def fit(self, texts: pa.Array) -> Self:
        """Learn from the catalogue's texts what is common and what is rare, where that matters, and return itself."""
        ...

    def encode(self, texts: pa.Array) -> NDArray[np.float32]:
        """Return (M, D) vectors of length 1; zeros for a text that is null or says nothing."""
        ...
