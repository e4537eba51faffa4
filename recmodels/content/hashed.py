"""Text as hashed words and parts of words, weighted by how rare they are: no model to download, no dependency."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from recmodels.content import TextConfig
from recmodels.content._hashing import Letters, Spans, mixed

if TYPE_CHECKING:
    from scipy import sparse

_BLOCK_LETTERS = 2**20
_SPACE = np.uint32(ord(" "))


class Encoder:
    """tf-idf of words, pairs of words and runs of letters, brought to D dimensions by random signs.

    Pieces are hashed into buckets (Weinberger et al. 2009); a text's weights are (1 + log tf) log((1 + M) / (1 + df)) +
    1 with df counted on the catalogue; and each bucket has D random signs, which keep inner products up to about
    1 / sqrt(D) (Achlioptas 2003). Signs come of the bucket's number and not of the catalogue, so that what a model
    learned about the vectors still holds when the catalogue has grown.
    """

    class Config(TextConfig):
        """Settings of hashed text."""

        embedding_dim: int = Field(256, ge=1)
        """D."""
        buckets: int = Field(2**15, ge=2, le=2**24)
        """Numbers that pieces are hashed to."""
        words: int = Field(2, ge=0)
        """Most words in a row that are one piece; 0 for no words."""
        letters: tuple[Annotated[int, Field(ge=1)], ...] = (3, 4)
        """Lengths of runs of letters that are a piece, spaces at both ends of a word counted; () for no runs."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rarity: NDArray[np.float32] = np.ones(config.buckets, dtype=np.float32)

    @property
    def embedding_dim(self) -> int:
        """D, size of every vector."""
        return self.config.embedding_dim

    def fit(self, texts: pa.Array) -> Self:
        """Count in how many texts each bucket stands."""
        df = np.zeros(self.config.buckets, dtype=np.int64)
        for counts in self._counts(texts):
            df += np.bincount(counts.indices, minlength=self.config.buckets)
        self.rarity = (np.log((1 + len(texts)) / (1 + df)) + 1).astype(np.float32)
        return self

    def encode(self, texts: pa.Array) -> NDArray[np.float32]:
        """Return (M, D) vectors of length 1; zeros for a text that is null or without a letter or digit."""
        signs = self._signs()
        blocks = []
        for counts in self._counts(texts):
            counts.data = (1 + np.log(counts.data)) * self.rarity[counts.indices]
            vectors = counts @ signs  # (m, D)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            blocks.append(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.embedding_dim), dtype=np.float32)

    def _counts(self, texts: pa.Array) -> "list[sparse.csr_array]":
        cleaned = _cleaned(texts)
        before = np.cumsum(pc.utf8_length(cleaned).to_numpy()) // _BLOCK_LETTERS
        edges = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), len(cleaned)]
        return [self._block(cleaned.slice(a, b - a)) for a, b in pairwise(edges) if b > a]

    def _block(self, texts: pa.Array) -> "sparse.csr_array":
        """Return how often each bucket stands in each text, (m, buckets) CSR float32."""
        from scipy import sparse  # late: a gateway hashes queries, and needs no matrix

        rows, hashes = hashed_pieces(texts, words=self.config.words, runs=self.config.letters)
        columns = (hashes % np.uint64(self.config.buckets)).astype(np.int64)
        shape = (len(texts), self.config.buckets)
        counts = sparse.coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape).tocsr()
        counts.sum_duplicates()
        return counts

    def _signs(self) -> NDArray[np.float32]:
        """Return -1 or 1 for each bucket and dimension, (buckets, D): the bits of hashes of both."""
        words = -(-self.embedding_dim // 64)
        numbers = np.arange(self.config.buckets * words, dtype=np.uint64)
        bits = np.unpackbits(
            mixed(mixed(numbers)).astype("<u8").view(np.uint8).reshape(self.config.buckets, -1), axis=1
        )
        return bits[:, : self.embedding_dim].astype(np.float32) * 2 - 1


class Pieces(NamedTuple):
    """Words, pairs of words and runs of letters of a column of text.

    All of one kind, in the order of reading, stand before the next kind.

    Attributes:
        rows: (P,) int64 row of each piece.
        hashes: (P,) uint64 hash of each, another for the same letters as a piece of another kind.
    """

    rows: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def hashed_pieces(texts: pa.Array, *, words: int, runs: tuple[int, ...]) -> Pieces:
    """Return the pieces of texts.

    Args:
        texts: Lower-case words with one space between them and at both ends, or nothing.
        words: Most words in a row that are one piece; 0 for no words.
        runs: Lengths of runs of letters that are a piece.
    """
    letters = Letters(texts)
    kinds = [_words(letters, count) for count in range(1, words + 1)]
    kinds += [_runs(letters, count) for count in runs]
    salted = [letters.hashes(spans, salt=number) for number, spans in enumerate(kinds)]
    rows = np.concatenate([np.zeros(0, np.int64), *(spans.rows for spans in kinds)])
    return Pieces(rows, np.concatenate([np.zeros(0, np.uint64), *salted]))


def _cleaned(texts: pa.Array) -> pa.Array:
    """Return lower-case letters and digits, one space between words and at both ends; null is the empty text."""
    plain = pc.utf8_lower(pc.utf8_normalize(pc.fill_null(texts, ""), form="NFKC"))
    words = pc.utf8_trim(pc.replace_substring_regex(plain, pattern=r"[^\pL\pM\pN]+", replacement=" "), " ")
    return pc.if_else(pc.equal(words, ""), "", pc.binary_join_element_wise("", words, "", " "))


def _words(letters: Letters, count: int) -> Spans:
    """Return every `count` words in a row, without the spaces around them."""
    spaces = np.flatnonzero(letters.points == _SPACE)
    first, last = spaces[:-count], spaces[count:]  # what lies between belongs to one text unless it starts at its end
    is_piece = letters.rows[first] == letters.rows[last]
    is_piece &= letters.points[np.minimum(first + 1, len(letters.points) - 1)] != _SPACE
    first, last = first[is_piece], last[is_piece]
    return Spans(letters.rows[first], first + 1, last)


def _runs(letters: Letters, count: int) -> Spans:
    """Return every `count` letters in a row within one text."""
    starts = np.arange(max(0, len(letters.points) - count + 1))
    starts = starts[letters.rows[starts] == letters.rows[starts + count - 1]]
    return Spans(letters.rows[starts], starts, starts + count)
