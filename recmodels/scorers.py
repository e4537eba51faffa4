"""What is served and evaluated: three kinds of scorer on NumPy, SciPy and ONNX Runtime, without torch.

Each turns histories into one score an item; which items are then shown is the ranker's to decide.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from recmodels.data.batches import pad
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.errors import BundleError

_ARRAYS = "arrays.safetensors"
_SETTINGS = "scorer.json"
_ENCODER = "encoder.onnx"
_ONNX_ERRORS = (ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf)
_CHUNK = 256  # histories an ONNX Runtime call: keeps attention's (chunk, heads, L, L) within tens of MB


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
        return cls(_arrays(folder)["scores"])


@dataclass(frozen=True, eq=False)
class ItemItemScorer:
    """The sum of the weights from each distinct item of a history to every item.

    Attributes:
        weights: (V, V) CSR float32; row i holds what item i says of other items. Rows 0 and 1 are empty, so that
            unknown items say nothing.
        history_length: Only the last so many events of a history count; 0 for all.
    """

    weights: sparse.csr_array
    history_length: int = 0
    kind: str = field(default="item_item", init=False)

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        return int(self.weights.shape[0])

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V); an empty history scores 0 everywhere, so that its ranking is by item index."""
        recent = known_items(histories).last(self.history_length) if self.history_length else histories
        scores: NDArray[np.float32] = (item_matrix(recent, self.vocabulary_size) @ self.weights).toarray()
        return _without_specials(scores)

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
        arrays = _arrays(folder)
        size = len(arrays["offsets"]) - 1
        weights = sparse.csr_array((arrays["values"], arrays["columns"], arrays["offsets"]), shape=(size, size))
        weights.check_format(full_check=True)
        return cls(weights, int(_settings(folder)["history_length"]))


@dataclass(frozen=True, eq=False)
class EncoderScorer:
    """The inner product of an encoded history with every item's vector.

    The encoder is an ONNX graph from `vectors` (B, L, D) and `is_item` (B, L), padded on the left, to `query` (B, D).
    Item vectors are looked up here, so that the graph knows no items.

    Attributes:
        encoder: Bytes of the ONNX graph.
        item_vectors: (V, D) float32; row 0 is also what starts an empty history.
        max_length: Only the last so many events of a history are encoded.
    """

    encoder: bytes
    item_vectors: NDArray[np.float32]
    max_length: int
    kind: str = field(default="encoder", init=False)

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        return len(self.item_vectors)

    @cached_property
    def _session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ort.InferenceSession(self.encoder, options, providers=["CPUExecutionProvider"])

    def queries(self, histories: Histories) -> NDArray[np.float32]:
        """Return each history's vector, (B, D). Histories are encoded in chunks of like length."""
        recent = known_items(histories).last(self.max_length)
        lengths = recent.lengths
        order = np.argsort(lengths, kind="stable")
        queries = np.empty((len(recent), self.item_vectors.shape[1]), dtype=np.float32)
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            items = pad(recent.take(rows), length=max(int(lengths[rows[-1]]), 1))  # (b, L)
            inputs = {"vectors": self.item_vectors[items], "is_item": items != 0}
            queries[rows] = self._session.run(["query"], inputs)[0]
        return queries

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V)."""
        scores: NDArray[np.float32] = self.queries(histories) @ self.item_vectors.T
        return _without_specials(scores)

    def save(self, folder: Path) -> None:
        """Write the graph, the vectors and the length."""
        (folder / _ENCODER).write_bytes(self.encoder)
        save_file({"item_vectors": self.item_vectors}, folder / _ARRAYS)
        _write_settings(folder, {"max_length": self.max_length})

    @classmethod
    def load(cls, folder: Path) -> "EncoderScorer":
        """Read what `save` wrote; the graph is compiled here rather than at the first request."""
        scorer = cls(
            (folder / _ENCODER).read_bytes(), _arrays(folder)["item_vectors"], int(_settings(folder)["max_length"])
        )
        assert scorer._session is not None
        return scorer


_LOADERS: dict[str, Callable[[Path], Scorer]] = {
    "static": StaticScorer.load,
    "item_item": ItemItemScorer.load,
    "encoder": EncoderScorer.load,
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
    except (OSError, KeyError, ValueError, SafetensorError, *_ONNX_ERRORS) as error:
        raise BundleError(f"the {kind} scorer cannot be read ({error!r}). Build the bundle again.") from error


def known_items(histories: Histories) -> Histories:
    """Return the histories without unknown items, of which no model learned anything; as views where all are known."""
    positions = histories.positions()
    is_known = histories.items[positions] >= FIRST_ITEM
    if is_known.all():
        return histories
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    ends = np.cumsum(np.bincount(rows[is_known], minlength=len(histories)))
    kept = positions[is_known]
    return Histories(histories.items[kept], histories.timestamps[kept], np.concatenate([[0], ends[:-1]]), ends)


def item_matrix(histories: Histories, vocabulary_size: int) -> sparse.csr_array:
    """Return which items each history holds, (B, V) CSR of float32 ones; repeats count once, unknown items not."""
    rows, items = histories.flat()
    known = items >= FIRST_ITEM
    keys = np.unique(rows[known] * vocabulary_size + items[known])
    row, column = np.divmod(keys, vocabulary_size)
    offsets = np.searchsorted(row, np.arange(len(histories) + 1))
    ones = np.ones(len(keys), dtype=np.float32)
    return sparse.csr_array((ones, column, offsets), shape=(len(histories), vocabulary_size))


def _without_specials(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    scores[:, :FIRST_ITEM] = -np.inf
    return scores


def _arrays(folder: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = load_file(folder / _ARRAYS)
    return arrays


def _settings(folder: Path) -> dict[str, int]:
    settings: dict[str, int] = json.loads((folder / _SETTINGS).read_text())
    return settings


def _write_settings(folder: Path, settings: dict[str, int]) -> None:
    (folder / _SETTINGS).write_text(json.dumps(settings, sort_keys=True) + "\n")
