"""From a trained encoder to the ONNX bytes that are served: the last position only, any batch, any length."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from recmodels.encoder_graph import IS_ITEM, QUERY, TIMES, VECTORS
from recmodels.encoders._contract import SequenceEncoder
from recmodels.errors import TrainingError

_INPUTS = (VECTORS, IS_ITEM, TIMES)
_OPSET = 20
_TOLERANCE = 1e-4
_LONGEST_GAP = 32.0
"""Natural logarithm of the longest time between two events that a graph is tried with, in microseconds: 2.5 years."""


class _LastPosition(nn.Module):
    def __init__(self, encoder: SequenceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        return self.encoder.last(vectors, is_item)


class _LastPositionInTime(_LastPosition):
    def forward(self, vectors: Tensor, is_item: Tensor, times: Tensor) -> Tensor:  # type: ignore[override]  # one more
        inputs: tuple[Tensor, ...] = (vectors, is_item, times)
        return self.encoder.last(*inputs)


def export_encoder(encoder: SequenceEncoder, *, embedding_dim: int, max_length: int) -> bytes:
    """Return the encoder as an ONNX graph, the same bytes for the same weights.

    Args:
        encoder: Trained; stays as it is.
        embedding_dim: D.
        max_length: Longest history.

    Raises:
        TrainingError: As `check_graph`.

    Returns:
        A graph from `vectors` (B, L, D) float32 and `is_item` (B, L) bool to `query` (B, D), for any B and any L up to
        `max_length`. An encoder that `uses_time` has one more input, `times` (B, L) int64.
    """
    module = _on_cpu(encoder)
    length = min(max_length, 3)
    example = [torch.zeros(2, length, embedding_dim), torch.ones(2, length, dtype=torch.bool)]
    if encoder.uses_time:
        example.append(torch.zeros(2, length, dtype=torch.int64))
    names = _INPUTS[: len(example)]
    any_size = torch.export.Dim.DYNAMIC
    torch.ops.aten.gru.input._dispatch_cache.clear()  # torch 2.13 leaves a kernel of one fixed length there
    with torch.no_grad(), quiet_exporter():
        program = torch.onnx.export(
            module,
            tuple(example),
            input_names=names,
            output_names=[QUERY],
            dynamic_shapes={name: {0: any_size, 1: any_size} for name in names},
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "the exporter returns a program when it is given no file"
    graph = stripped(program.model_proto)
    check_graph(graph, encoder, embedding_dim=embedding_dim, max_length=max_length)
    return graph


def check_graph(graph: bytes, encoder: SequenceEncoder, *, embedding_dim: int, max_length: int) -> None:
    """Compare graph and encoder on other shapes than the example's: what an exporter got wrong must not be served.

    Raises:
        TrainingError: They differ by more than 1e-4, or one is not finite.
    """
    module = _on_cpu(encoder)
    rng = np.random.default_rng(0)
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for batch, length in ((1, 1), (3, max_length)):
        vectors = rng.normal(size=(batch, length, embedding_dim)).astype(np.float32)
        is_item = np.arange(length) >= rng.integers(0, length, size=(batch, 1))
        inputs = [vectors, is_item]
        if encoder.uses_time:
            gaps = np.exp(rng.uniform(0, _LONGEST_GAP, size=(batch, length)))
            inputs.append(np.cumsum(gaps.astype(np.int64), axis=1))
        served = session.run([QUERY], dict(zip(_INPUTS, inputs, strict=False)))[0]
        with torch.no_grad():
            expected = module(*map(torch.from_numpy, inputs)).numpy()
        worst = float(np.abs(served - expected).max())
        if not worst <= _TOLERANCE:
            raise TrainingError(
                f"the exported encoder differs from the trained one by {worst:.2e} at batch {batch} and length "
                f"{length}; at most {_TOLERANCE:.0e} is accepted. Check its weights and the versions of torch and onnx."
            )


def _on_cpu(encoder: SequenceEncoder) -> _LastPosition:
    module = _LastPositionInTime if encoder.uses_time else _LastPosition
    return module(copy.deepcopy(encoder).cpu()).eval()


def stripped(model: onnx.ModelProto) -> bytes:
    """Return the bytes without what tells of the machine: stack traces hold absolute paths, shapes arbitrary names."""
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for value in (*graph.input, *graph.output):
        for size, name in zip(value.type.tensor_type.shape.dim, ("batch", "length"), strict=False):
            if size.dim_param:
                size.dim_param = name
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence what the exporter of torch 2.13 says about itself; remove each line when a newer one no longer does."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # reports that torchvision, which we do not use, is missing
    try:
        with warnings.catch_warnings():
            # torch.export copies a tree specification through its own deprecated class
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)", category=FutureWarning)
            # a recurrence of any length is traced as a loop over sizes that torch checks by an older name of the check
            warnings.filterwarnings("ignore", message="_check_is_size will be removed", category=FutureWarning)
            # nn.GRU lists its parameters a second time, and tracing replaces the list for a while
            warnings.filterwarnings("ignore", message=r".*\._flat_weights\[0\]", category=UserWarning)
            yield
    finally:
        registration.setLevel(level)
