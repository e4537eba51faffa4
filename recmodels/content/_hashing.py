"""Stable hashes of pieces of text, all of a column at once: the same on every machine, in every process.

A piece's hash is a polynomial of its code points modulo 2^64. The running sum of a whole column gives the hash of any
piece of it by one subtraction and one multiplication.
"""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BASE: Final = 0x9E3779B97F4A7C15
"""Odd, so that it can be divided by modulo 2^64."""
_INVERSE: Final = pow(_BASE, -1, 2**64)


class Spans(NamedTuple):
    """Pieces of a column of text.

    Attributes:
        rows: (P,) int64 row of each piece.
        starts: (P,) int64 its first code point, counted over the whole column.
        ends: (P,) int64 one past its last.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class Letters:
    """A column of text as code points.

    Args:
        texts: M texts without nulls.
    """

    def __init__(self, texts: pa.Array) -> None:
        lengths = pc.utf8_length(texts).to_numpy().astype(np.int64)
        joined = "".join(texts.to_pylist())
        self.points = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.rows = np.repeat(np.arange(len(lengths)), lengths)
        self._sums = np.zeros(len(self.points) + 1, dtype=np.uint64)
        np.cumsum((self.points + np.uint64(1)) * _powers(_BASE, len(self.points)), out=self._sums[1:])
        self._down = _powers(_INVERSE, len(self.points) + 1)

    def hashes(self, spans: Spans, *, salt: int) -> NDArray[np.uint64]:
        """Return the hash of each piece, (P,); the same piece under another salt has another hash."""
        values = (self._sums[spans.ends] - self._sums[spans.starts]) * self._down[spans.starts]
        return mixed(values + np.uint64(salt * 0xD1B54A32D192ED03 % 2**64))

    def whole(self) -> Spans:
        """Return each text as one piece."""
        return Spans(np.arange(len(self.starts)), self.starts, self.ends)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers whose every bit depends on every bit of the given ones. Source: splitmix64, Steele et al. 2014."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """Return base^0, base^1, ... modulo 2^64, (count,)."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)
