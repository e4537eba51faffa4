"""Every item's score by whole numbers of eight bits, in a tenth of the time, with how far off it may be.

It is exact search in two steps: few items can be the best by their coarse scores, and only these are scored in full. A
list whose last score is above what any other item can have is the exact one; any other is made anew from all items.
"""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from recmodels.arrays import is_tame

LEAST_ITEMS = 8192
"""Fewer vectors of 64 numbers fit a core's own cache, and scoring all in full takes no longer."""

_MOST_CODES = 2**30  # an ONNX model stays below 2 GiB
_BLOCK = 2**14  # vectors that are rounded at once
_ZERO = 128  # both sides unsigned: signed ones saturate on processors without instructions for them
_LARGEST = 127
_OPSET, _IR = 20, 10
_ROUNDING = 2.0**-24


@dataclass(frozen=True, eq=False)
class Coarse:
    """Scores of every item for B queries, in each row's own unit.

    Attributes:
        scores: (B, V) float32.
        units: (B,) what a row's scores are to be multiplied by.
        errors: (B,) how far a score may then be from what single precision gives.
    """

    scores: NDArray[np.float32]
    units: NDArray[np.float32]
    errors: NDArray[np.float32]


def suits(item_vectors: NDArray[np.float32]) -> bool:
    """Return whether scoring coarsely first saves time with such vectors, (V, D), and can be done."""
    return len(item_vectors) >= LEAST_ITEMS and item_vectors.size <= _MOST_CODES and is_tame(item_vectors)


class CoarseScores:
    """Approximate inner products with all item vectors.

    Every vector is rounded to whole multiples of its own step. By Cauchy-Schwarz that moves an inner product by at most
    the query's length times the largest change of a vector, and the query's own rounding by its change times the
    longest vector.

    Args:
        item_vectors: (V, D) float32, finite.
    """

    def __init__(self, item_vectors: NDArray[np.float32]) -> None:
        num_columns, size = item_vectors.shape
        all_codes = np.empty((size, num_columns), dtype=np.uint8)
        all_steps = np.empty(num_columns, dtype=np.float32)
        self._change = self._longest = 0.0
        for start in range(0, num_columns, _BLOCK):
            block = item_vectors[start : start + _BLOCK]
            steps, codes = _rounded(block)
            all_steps[start : start + _BLOCK], all_codes[:, start : start + _BLOCK] = steps, codes.T + _ZERO
            self._change = max(self._change, float(_lengths(block - steps[:, None] * codes).max()))
            self._longest = max(self._longest, float(_lengths(block).max()))
        self._session = _compiled(all_codes, all_steps)

    def of(self, queries: NDArray[np.float32]) -> Coarse:
        """Return the coarse scores of queries (B, D), which are finite."""
        steps, codes = _rounded(queries)
        change = queries - steps[:, None] * codes
        rounding = 4 * queries.shape[1] * _ROUNDING * self._longest  # of sums in single precision
        errors = _lengths(change) * np.float32(self._longest) + _lengths(queries) * np.float32(self._change + rounding)
        scores: NDArray[np.float32] = self._session.run(None, {"queries": (codes + _ZERO).astype(np.uint8)})[0]
        return Coarse(scores, steps, errors)


def _rounded(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each vector's step, (N,), and whole numbers from -127 to 127, (N, D) float32."""
    largest = np.abs(vectors).max(axis=1)
    steps = np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1))
    return steps, np.clip(np.rint(vectors / steps[:, None]), -_LARGEST, _LARGEST)


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return lengths


def _compiled(codes: NDArray[np.uint8], steps: NDArray[np.float32]) -> ort.InferenceSession:
    nodes = [
        helper.make_node("MatMulInteger", ["queries", "codes", "zero", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["numbers", "steps"], ["scores"]),
    ]
    size, num_columns = codes.shape
    graph = helper.make_graph(
        nodes,
        "coarse",
        [helper.make_tensor_value_info("queries", TensorProto.UINT8, ["batch", size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", num_columns])],
        [
            numpy_helper.from_array(np.ascontiguousarray(codes), "codes"),
            numpy_helper.from_array(np.uint8(_ZERO).reshape(()), "zero"),
            numpy_helper.from_array(steps, "steps"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
