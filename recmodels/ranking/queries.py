"""What was searched for, as numbers: hashed words, pairs of words and runs of letters, so that no word is unknown."""

import unicodedata
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.content.hashed import hashed_pieces

_WORDS: Final = 2
_RUNS: Final = (3,)
_LINE: Final = "\n"


def query_tokens(queries: pa.Array, *, buckets: int, max_tokens: int, max_letters: int) -> NDArray[np.int32]:
    """Return the pieces of queries: words as they are read, then pairs of words, then runs of three letters.

    Case, punctuation and repeated spaces make no difference. A query is cut after `max_letters` letters, and pieces
    after the first `max_tokens` are left out, so that a query of any length costs the same at most.

    Args:
        queries: N texts; null where nothing was searched for.
        buckets: Numbers that pieces are hashed to.
        max_tokens: Q, most pieces.
        max_letters: Letters (code points) that are read.

    Returns:
        ``(N, Q)`` from 1 to `buckets`; 0 behind the last piece, and everywhere for null or a text that says nothing.
    """
    tokens = np.zeros((len(queries), max_tokens), dtype=np.int32)
    distinct = queries.cast(pa.string()).dictionary_encode()
    if not len(distinct.dictionary):
        return tokens
    cut = [text[:max_letters] for text in distinct.dictionary.to_pylist()]
    rows, hashes = hashed_pieces(_cleaned(cut), words=_WORDS, runs=_RUNS)
    order = np.argsort(rows, kind="stable")
    rows, hashes = rows[order], hashes[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < max_tokens
    table = np.zeros((len(cut) + 1, max_tokens), dtype=np.int32)
    table[rows[kept], place[kept]] = (hashes[kept] % np.uint64(buckets)).astype(np.int32) + 1
    codes: NDArray[np.int32] = pc.fill_null(distinct.indices, len(cut)).to_numpy()
    return table[codes]


def _cleaned(texts: list[str]) -> pa.Array:
    """Return lower-case letters and digits, one space between words and at both ends.

    All texts are read as one, with lines between them: a request has one, for which a regular expression over all of
    Unicode takes milliseconds to compile.
    """
    joined = _LINE.join(text.replace(_LINE, " ") for text in texts)
    plain = unicodedata.normalize("NFKC", joined).lower()
    spaced = plain.translate({ord(letter): " " for letter in set(plain) if not _is_read(letter)})
    words = [" ".join(line.split()) for line in spaced.split(_LINE)]
    return pa.array([f" {line} " if line else "" for line in words], pa.string())


@cache
def _is_read(letter: str) -> bool:
    return letter == _LINE or unicodedata.category(letter)[0] in "LMN"
