"""What is served of a ranker, and therefore what is evaluated: tables in NumPy, the network in ONNX Runtime."""

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from recmodels.arrays import check_finite
from recmodels.data.vocabulary import PADDING
from recmodels.encoder_graph import GRAPH_ERRORS, checked_session
from recmodels.errors import BundleError
from recmodels.ranking import graph as names
from recmodels.ranking.calibration import Calibration
from recmodels.ranking.examples import Examples, FeatureSpec
from recmodels.ranking.inputs import Inputs, inputs_of
from recmodels.ranking.predictions import Predictions

_GRAPH, _ARRAYS, _SPEC = "ranker.onnx", "ranker.safetensors", "ranker.json"
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class RankingScorer:
    """Predictions for exposures.

    A history that several rows share is looked up once and its part of the attention is computed once, so that a
    hundred candidates of a request, or of several requests together, cost one pass.

    Attributes:
        spec: What the columns of examples are; rows of another spec are refused.
        graph: Bytes of the ONNX model.
        tables: (rows, D) each: `items`, `categories` and, where the data has a query, `queries`.
        calibration: Of the probabilities and of seconds.
    """

    spec: FeatureSpec
    graph: bytes
    tables: dict[str, NDArray[np.float32]]
    calibration: Calibration

    @cached_property
    def session(self) -> ort.InferenceSession:
        """The graph, checked and compiled."""
        return checked_session(self.graph, inputs=names.INPUTS, outputs=names.OUTPUTS)

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return np.cumsum([0, *self.spec.cardinalities], dtype=np.int64)[:-1]

    @cached_property
    def has_watch(self) -> bool:
        """Whether seconds are predicted."""
        _, watch = self._of_nothing(duration=1.0)
        return bool(np.isfinite(watch).all())

    def calibrated(self, calibration: Calibration) -> "RankingScorer":
        """Return the same scorer with another calibration."""
        return replace(self, calibration=calibration)

    def score(self, examples: Examples) -> Predictions:
        """Return calibrated predictions.

        Args:
            examples: Any number of rows; labels and watch time are not looked at.

        Raises:
            ValueError: The rows are of another spec.
        """
        if examples.spec != self.spec:
            raise ValueError(
                f"the examples have {_columns(examples.spec)}; this ranker was trained on {_columns(self.spec)}. Build "
                "them with the features of the ranker's own bundle."
            )
        count = len(examples)
        if count <= _ROWS_AT_ONCE:
            return self._score(examples)
        starts = range(0, count, _ROWS_AT_ONCE)
        parts = [self._score(examples.take(np.arange(s, min(s + _ROWS_AT_ONCE, count)))) for s in starts]
        return Predictions(np.concatenate([p.logits for p in parts]), np.concatenate([p.watch for p in parts]))

    def _score(self, examples: Examples) -> Predictions:
        if not len(examples):
            return Predictions(np.zeros((0, len(self.spec.tasks)), np.float32), np.zeros(0, np.float32))
        inputs = inputs_of(examples)
        logits, watch = self.session.run([names.LOGITS, names.WATCH], self.looked_up(inputs))
        calibration = self.calibration
        return Predictions(calibration.apply(logits, inputs.surfaces), calibration.apply_seconds(watch))

    def looked_up(self, inputs: Inputs) -> dict[str, NDArray[np.generic]]:
        """Return what the graph is given of N exposures under R histories."""
        items = self.tables["items"]
        fields = self.tables["categories"][inputs.categorical + self._offsets]  # (N, C, D)
        if "queries" in self.tables:
            fields = np.concatenate([fields, self._query(inputs.queries)[:, None]], axis=1)
        return {
            names.ITEM: items[inputs.items],
            names.FIELDS: fields,
            names.NUMBERS: inputs.numbers,
            names.SURFACES: inputs.surfaces,
            names.DURATION: inputs.duration,
            names.HISTORY: items[inputs.histories],
            names.IS_ITEM: inputs.histories != PADDING,
            names.REQUEST: inputs.request,
        }

    def _query(self, pieces: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the mean of each row's pieces, (N, D); row 0 of the table where there is none."""
        if len(pieces) > 1 and pieces.strides[0] == 0:
            return np.broadcast_to(self._query(pieces[:1]), (len(pieces), self.tables["queries"].shape[1]))
        table = self.tables["queries"]
        is_piece = pieces > 0
        count = is_piece.sum(axis=1, dtype=np.float32)[:, None]
        mean = (table[pieces] * is_piece[:, :, None]).sum(axis=1) / np.maximum(count, 1)
        chosen: NDArray[np.float32] = np.where(count > 0, mean, table[0])
        return chosen

    def save(self, folder: Path) -> None:
        """Write the graph, the arrays and the spec into a folder that exists."""
        (folder / _GRAPH).write_bytes(self.graph)
        curves = {"curves": self.calibration.curves, "seconds": self.calibration.seconds}
        save_file({**self.tables, **curves}, folder / _ARRAYS)
        (folder / _SPEC).write_text(json.dumps(asdict(self.spec), sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "RankingScorer":
        """Read what `save` wrote; the graph is compiled and tried here rather than at the first request.

        Raises:
            BundleError: A file is missing, damaged, or does not fit the others.
        """
        try:
            arrays = load_file(folder / _ARRAYS)
            spec = _read_spec(folder / _SPEC)
            _check(arrays, spec)
            calibration = Calibration(arrays.pop("curves"), arrays.pop("seconds"))
            scorer = cls(spec, (folder / _GRAPH).read_bytes(), arrays, calibration)
            scorer._try_out()
        except (*GRAPH_ERRORS, OSError, SafetensorError, KeyError, ValueError) as error:
            raise BundleError(f"the ranker cannot be read: {error}. Build the bundle again.") from error
        return scorer

    def _try_out(self) -> None:
        logits, watch = self._of_nothing(duration=np.nan)
        expected = (2, len(self.spec.tasks))
        if logits.shape != expected or watch.shape != (2,) or not np.isfinite(logits).all():
            raise ValueError(f"{_GRAPH}: two rows give logits of {logits.shape}, expected {expected}, all finite")

    def _of_nothing(self, *, duration: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the graph says of two exposures of which nothing else is known."""
        inputs = Inputs(
            items=np.array([0, 1]),
            categorical=np.zeros((2, len(self.spec.cardinalities)), np.int64),
            numbers=np.zeros((2, len(self.spec.numeric)), np.float32),
            surfaces=np.array([0, len(self.spec.surfaces) - 1]),
            duration=np.full(2, duration, np.float32),
            queries=np.zeros((2, self.spec.max_query), np.int64),
            histories=np.zeros((1, self.spec.max_history), np.int64),
            request=np.zeros(2, np.int64),
        )
        logits, watch = self.session.run([names.LOGITS, names.WATCH], self.looked_up(inputs))
        return logits, watch


def _check(arrays: dict[str, NDArray[np.float32]], spec: FeatureSpec) -> None:
    dim = arrays["items"].shape[-1]
    shapes = {
        "items": (spec.num_items, dim),
        "categories": (max(sum(spec.cardinalities), 1), dim),
        "curves": (len(spec.surfaces), len(spec.tasks), 3),
        "seconds": (2, arrays["seconds"].shape[-1]),
    }
    if spec.query_buckets:
        shapes["queries"] = (spec.query_buckets + 1, dim)
    found = {name: array.shape for name, array in arrays.items()}
    if found != shapes:
        raise ValueError(f"{_ARRAYS}: it holds {found}, expected {shapes}")
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise ValueError(f"{_ARRAYS}: {name!r} is {array.dtype}, expected float32")
        check_finite(array, file=_ARRAYS, name=name)
    if (np.diff(arrays["seconds"], axis=1) <= 0).any() or (arrays["seconds"][:1] <= 0).any():
        raise ValueError(f"{_ARRAYS}: 'seconds' is no curve that rises from 0")


def _read_spec(path: Path) -> FeatureSpec:
    try:
        return TypeAdapter(FeatureSpec).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path.name}: {error.error_count()} fields are not those of a spec: {error}") from error


def _columns(spec: FeatureSpec) -> str:
    parts = {
        "categorical": spec.categorical,
        "numeric": spec.numeric,
        "surfaces": spec.surfaces,
        "tasks": spec.tasks,
        "items": spec.num_items,
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())
