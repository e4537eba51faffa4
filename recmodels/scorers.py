"""What is served and evaluated: kinds of scorer on NumPy, SciPy and ONNX Runtime, without torch.

Each turns histories into one score an item; which items are then shown is the ranker's to decide.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from recmodels.arrays import check_finite, read_arrays
from recmodels.data.batches import pad, pad_times
from recmodels.data.histories import Histories
from recmodels.data.known import distinct_items, is_blank, item_matrix, known_items
from recmodels.data.vocabulary import FIRST_ITEM, PADDING
from recmodels.encoder_graph import Encoder
from recmodels.errors import BundleError
from recmodels.factors import FactorScorer
from recmodels.retrieval.coarse import CoarseScores, suits
from recmodels.retrieval.graph import GRAPH, ItemGraph

if TYPE_CHECKING:
    from scipy import sparse  # 15 MB, which a process that serves an encoder does without

__all__ = [
    "EncoderScorer",
    "FactorScorer",
    "ItemItemScorer",
    "Scorer",
    "StaticScorer",
    "is_blank",
    "item_matrix",
    "known_items",
    "load_scorer",
]

_ARRAYS = "arrays.safetensors"
_SETTINGS = "scorer.json"
_ENCODER = "encoder.onnx"
_LONGEST = 10_000  # events of a history that an encoder may ask for
_CHUNK = 256  # histories an ONNX Runtime call: keeps attention's (chunk, heads, L, L) within tens of MB
_TIMED_CHUNK = 64  # the same where each pair of events has a time between them in float64, too


class Scorer(Protocol):
    """Histories in, one score an item out."""

    @property
    def kind(self) -> str:
        """Name of the scorer's class in a bundle's manifest."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        ...

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return a new array (B, V); columns 0 and 1 are -inf. An empty history and unknown items (1) are valid."""
        ...

    def save(self, folder: Path) -> None:
        """Write the scorer's files into an empty folder; equal scorers write equal bytes."""
        ...


@dataclass(frozen=True, eq=False)
class StaticScorer:
    """The same scores for everybody.

    Attributes:
        scores: (V,) float32.
    """

    scores: NDArray[np.float32]
    kind: str = field(default="static", init=False)

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        return len(self.scores)

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return the scores once a history, (B, V); what the history holds does not matter."""
        return _without_specials(np.tile(self.scores, (len(histories), 1)))

    def save(self, folder: Path) -> None:
        """Write the scores as safetensors."""
        save_file({"scores": self.scores}, folder / _ARRAYS)

    @classmethod
    def load(cls, folder: Path) -> "StaticScorer":
        """Read what `save` wrote."""
        scores = read_arrays(folder / _ARRAYS, {"scores": (np.float32, 1)})["scores"]
        check_finite(scores[FIRST_ITEM:], file=_ARRAYS, name="scores")
        return cls(scores)


@dataclass(frozen=True, eq=False)
class ItemItemScorer:
    """The sum of the weights from each distinct item of a history to every item.

    Attributes:
        weights: (V, V) CSR float32; row i holds what item i says of other items. Rows 0 and 1 are empty, so that
            unknown items say nothing.
        history_length: Only the last so many events of a history count; 0 for all.
    """

    weights: "sparse.csr_array"
    history_length: int = 0
    kind: str = field(default="item_item", init=False)

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        return int(self.weights.shape[0])

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V); an empty history scores 0 everywhere, so that its ranking is by item index."""
        return _without_specials(self.sums(histories, self.weights))

    def sums(self, histories: Histories, weights: "sparse.csr_array") -> NDArray[np.float32]:
        """Return the sum of a table's rows over the distinct items of each history that count.

        Args:
            histories: B rows.
            weights: (V, C) CSR float32.

        Returns:
            (B, C), added up in the order of the item indices, so that equal histories give equal bits.
        """
        recent = known_items(histories).last(self.history_length) if self.history_length else histories
        rows, items = distinct_items(recent, self.vocabulary_size)
        first = weights.indptr[items]
        counts = weights.indptr[items + 1] - first
        ends = np.cumsum(counts)
        places = np.repeat(first - (ends - counts), counts) + np.arange(counts.sum())
        sums = np.zeros((len(recent), weights.shape[1]), dtype=np.float32)
        starts = np.repeat(rows * weights.shape[1], counts)
        np.add.at(sums.ravel(), starts + weights.indices[places], weights.data[places])
        return sums

    def save(self, folder: Path) -> None:
        """Write the three arrays of the CSR matrix as safetensors, and the length as JSON."""
        weights = self.weights
        save_file(
            {
                "values": weights.data.astype(np.float32, copy=False),
                "columns": weights.indices.astype(np.int32, copy=False),
                "offsets": weights.indptr.astype(np.int64, copy=False),
            },
            folder / _ARRAYS,
        )
        _write_settings(folder, {"history_length": self.history_length})

    @classmethod
    def load(cls, folder: Path) -> "ItemItemScorer":
        """Read what `save` wrote."""
        from scipy import sparse

        arrays = read_arrays(
            folder / _ARRAYS, {"values": (np.float32, 1), "columns": (np.int32, 1), "offsets": (np.int64, 1)}
        )
        check_finite(arrays["values"], file=_ARRAYS, name="values")
        size = len(arrays["offsets"]) - 1
        try:
            weights = sparse.csr_array((arrays["values"], arrays["columns"], arrays["offsets"]), shape=(size, size))
            weights.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{_ARRAYS}: it is not a table of {size} rows and columns ({error})") from error
        return cls(weights, _setting(folder, "history_length", least=0))


@dataclass(frozen=True, eq=False)
class EncoderScorer:
    """The inner product of an encoded history with every item's vector.

    The encoder is an ONNX graph from `vectors` (B, L, D) and `is_item` (B, L), padded on the left, to `query` (B, D).
    Item vectors are looked up here, so that the graph knows no items. One that has an input `times` is given those of
    the events, (B, L) in microseconds.

    Attributes:
        encoder: Bytes of the ONNX graph.
        item_vectors: (V, D) float32; row 0 is also what starts an empty history.
        max_length: Only the last so many events of a history are encoded.
        graph: Finds items near a query without scoring all; None for exact search.
        coarse: Tells for exact search which items need to be scored in full; None where all are.
    """

    encoder: bytes
    item_vectors: NDArray[np.float32]
    max_length: int
    graph: ItemGraph | None = None
    coarse: CoarseScores | None = None
    kind: str = field(default="encoder", init=False)

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        return len(self.item_vectors)

    @cached_property
    def compiled(self) -> Encoder:
        """The encoder, ready to run."""
        return Encoder(self.encoder)

    def queries(self, histories: Histories) -> NDArray[np.float32]:
        """Return each history's vector, (B, D). Many histories are encoded in chunks of like length."""
        known = known_items(histories)
        chunk = _TIMED_CHUNK if self.compiled.uses_time else _CHUNK
        if len(known) <= chunk:
            return self._encode(known)
        order = np.argsort(known.lengths, kind="stable")
        queries = np.empty((len(known), self.item_vectors.shape[1]), dtype=np.float32)
        for start in range(0, len(order), chunk):
            rows = order[start : start + chunk]
            queries[rows] = self._encode(known.take(rows))
        return queries

    def _encode(self, known: Histories) -> NDArray[np.float32]:
        longest = int(known.lengths.max(initial=1))
        length = max(1, min(longest, self.max_length))
        items = pad(known, length=length)  # (b, L)
        times = pad_times(known, length=length) if self.compiled.uses_time else None
        return self.compiled.run(self.item_vectors[items], items != PADDING, times)

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V)."""
        return self.score_queries(self.queries(histories))

    def score_queries(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (B, V) of encoded histories."""
        with np.errstate(over="ignore", invalid="ignore"):  # the ranker flags what is not finite
            scores: NDArray[np.float32] = queries @ self.item_vectors.T
        return _without_specials(scores)

    def save(self, folder: Path) -> None:
        """Write the encoder, the vectors, the length and, where there is one, the graph."""
        (folder / _ENCODER).write_bytes(self.encoder)
        save_file({"item_vectors": self.item_vectors}, folder / _ARRAYS)
        _write_settings(folder, {"max_length": self.max_length})
        if self.graph is not None:
            self.graph.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "EncoderScorer":
        """Read what `save` wrote; the encoder is compiled and tried here rather than at the first request."""
        vectors = read_arrays(folder / _ARRAYS, {"item_vectors": (np.float32, 2)})["item_vectors"]
        check_finite(vectors, file=_ARRAYS, name="item_vectors")
        graph = ItemGraph.load(folder, vectors[FIRST_ITEM:]) if (folder / GRAPH).exists() else None
        coarse = CoarseScores(vectors) if suits(vectors) else None
        max_length = _setting(folder, "max_length", least=1)
        scorer = cls((folder / _ENCODER).read_bytes(), vectors, max_length, graph, coarse)
        try:
            scorer.compiled.try_out(embedding_dim=vectors.shape[1], max_length=max_length)
        except ValueError as error:
            raise ValueError(f"{_ENCODER}: {error}") from error
        return scorer


_LOADERS: dict[str, Callable[[Path], Scorer]] = {
    "static": StaticScorer.load,
    "item_item": ItemItemScorer.load,
    "encoder": EncoderScorer.load,
    "factors": FactorScorer.load,
}


def load_scorer(kind: str, folder: Path) -> Scorer:
    """Read a scorer from the folder that its `save` wrote.

    Raises:
        BundleError: No scorer is of this kind, or a file is missing or damaged.
    """
    if kind not in _LOADERS:
        raise BundleError(f"scorer kind {kind!r} is not known. Known: {', '.join(sorted(_LOADERS))}.")
    try:
        return _LOADERS[kind](folder)
    except (OSError, ValueError) as error:
        raise BundleError(f"the {kind} scorer cannot be read: {error}. Build the bundle again.") from error


def _without_specials(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    scores[:, :FIRST_ITEM] = -np.inf
    return scores


def _setting(folder: Path, name: str, *, least: int) -> int:
    try:
        settings = json.loads((folder / _SETTINGS).read_bytes())
        value = settings[name]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{_SETTINGS}: it holds no {name!r} ({error!r})") from error
    if type(value) is not int or not least <= value <= _LONGEST:
        raise ValueError(f"{_SETTINGS}: {name!r} is {value!r}, expected a whole number from {least} to {_LONGEST}")
    return value


def _write_settings(folder: Path, settings: dict[str, int]) -> None:
    (folder / _SETTINGS).write_text(json.dumps(settings, sort_keys=True) + "\n")
