"""What an ONNX graph of ours may be: checked before ONNX Runtime sees it, since a graph can name files to read.

One that is accepted has the inputs and outputs that are expected and needs standard operators alone. An encoder's takes
the vectors of a history and answers one vector.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

VECTORS, IS_ITEM, TIMES, QUERY = "vectors", "is_item", "times", "query"

Shapes = Mapping[str, tuple[int, int]]
"""Type (of `TensorProto`) and number of dimensions of each input or output, in no particular order."""

_STANDARD = ("", "ai.onnx")
_INPUTS = {VECTORS: (TensorProto.FLOAT, 3), IS_ITEM: (TensorProto.BOOL, 2)}
_TIMED_INPUTS = _INPUTS | {TIMES: (TensorProto.INT64, 2)}
_OUTPUTS = {QUERY: (TensorProto.FLOAT, 2)}
GRAPH_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class Encoder:
    """An accepted graph, compiled for one thread.

    Args:
        graph: Bytes of an ONNX model from `vectors` (B, L, D), `is_item` (B, L) and, if it has such an input, `times`
            (B, L) in microseconds, to `query` (B, D).
    """

    def __init__(self, graph: bytes) -> None:
        model = _parsed(graph)
        _check(model, _TIMED_INPUTS if any(value.name == TIMES for value in model.graph.input) else _INPUTS, _OUTPUTS)
        self._session = _session(graph)
        self._uses_time = any(value.name == TIMES for value in self._session.get_inputs())

    @property
    def uses_time(self) -> bool:
        """Whether the graph takes times."""
        return self._uses_time

    def run(
        self, vectors: NDArray[np.float32], is_item: NDArray[np.bool_], times: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return the query of each history, (B, D).

        Args:
            vectors: (B, L, D), padded on the left.
            is_item: (B, L); False for padding.
            times: (B, L) microseconds; None where the graph takes none.
        """
        inputs = {VECTORS: vectors, IS_ITEM: is_item}
        queries: NDArray[np.float32] = self._session.run([QUERY], inputs if times is None else inputs | {TIMES: times})[
            0
        ]
        return queries

    def try_out(self, *, embedding_dim: int, max_length: int) -> None:
        """Encode an empty history and a full one.

        Raises:
            ValueError: The graph cannot, or it answers something else than one finite vector a history.
        """
        for length in (1, max_length):
            vectors = np.zeros((2, length, embedding_dim), dtype=np.float32)
            is_item = np.zeros((2, length), dtype=np.bool_)
            is_item[1] = True
            times = np.arange(2 * length).reshape(2, length) if self.uses_time else None
            try:
                queries = self.run(vectors, is_item, times)
            except GRAPH_ERRORS as error:
                raise ValueError(f"a history of {length} items cannot be encoded: {error}") from error
            if queries.shape != (2, embedding_dim) or not np.isfinite(queries).all():
                raise ValueError(
                    f"two histories of {length} items give {QUERY!r} of shape {queries.shape}, "
                    f"{np.isfinite(queries).sum()} of {queries.size} numbers finite; expected {(2, embedding_dim)}, all"
                )


def checked_session(graph: bytes, *, inputs: Shapes, outputs: Shapes) -> ort.InferenceSession:
    """Return an accepted graph, compiled for one thread.

    Args:
        graph: Bytes of an ONNX model.
        inputs: What it must take.
        outputs: What it must answer.

    Raises:
        ValueError: It is not ONNX, has other inputs or outputs, refers to files, or needs operators of others.
    """
    _check(_parsed(graph), inputs, outputs)
    return _session(graph)


def _session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except GRAPH_ERRORS as error:
        raise ValueError(f"ONNX Runtime refuses the graph: {error}") from error


def _parsed(graph: bytes) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(graph)
    except DecodeError as error:
        raise ValueError(f"this is not an ONNX model ({error})") from error


def _check(model: onnx.ModelProto, inputs: Shapes, outputs: Shapes) -> None:
    """Refuse what is no graph of ours."""
    for names, found in ((inputs, model.graph.input), (outputs, model.graph.output)):
        kinds = {
            value.name: (value.type.tensor_type.elem_type, len(value.type.tensor_type.shape.dim)) for value in found
        }
        if kinds != dict(names):
            raise ValueError(f"the graph has {_words(kinds)} where {_words(names)} is expected")
    domains = {entry.domain for entry in model.opset_import}
    domains |= {node.domain for graph_ in _graphs(model.graph) for node in graph_.node}
    if strange := sorted(domains - set(_STANDARD)) or [function.name for function in model.functions]:
        raise ValueError(f"the graph needs operators beyond the standard's: {', '.join(strange)}")
    for tensor in _tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            places = ", ".join(entry.value for entry in tensor.external_data if entry.key == "location")
            raise ValueError(f"the graph's {tensor.name!r} lies in another file ({places}); it must hold its weights")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for part in _graphs(graph):
        yield from part.initializer
        sparse = list(part.sparse_initializer)
        for attribute in (attribute for node in part.node for attribute in node.attribute):
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            sparse += [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
            sparse += attribute.sparse_tensors
        for tensor in sparse:
            yield from (tensor.values, tensor.indices)


def _words(kinds: Shapes) -> str:
    return ", ".join(
        f"{name} ({TensorProto.DataType.Name(kind)} of {rank} dimensions)" for name, (kind, rank) in kinds.items()
    )
