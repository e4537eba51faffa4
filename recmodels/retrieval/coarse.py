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
_BLOCK = 2**12  # vectors that are rounded at once
_ITEM_LEVELS = 127  # eight bits with a sign
_QUERY_LEVELS = 63  # seven without: pairs of products, 2 x 127 x 127, then fit the 16 bits that old processors add in
_ZERO = 64
_OPSET, _IR = 20, 10
_ROUNDING = 2.0**-24


@dataclass(frozen=True, eq=False)
class Coarse:
    """Scores of every item for B queries, in each row's own unit.

    Attributes:
        scores: (B, V) int32.
        units: (B,) what a row's scores are to be multiplied by.
        errors: (B,) how far a score may then be from what single precision gives.
    """

    scores: NDArray[np.int32]
    units: NDArray[np.float32]
    errors: NDArray[np.float32]


def suits(item_vectors: NDArray[np.float32]) -> bool:
    """Return whether scoring coarsely first saves time with such vectors, (V, D), and can be done."""
    return len(item_vectors) >= LEAST_ITEMS and item_vectors.size <= _MOST_CODES and is_tame(item_vectors)


class CoarseScores:
    """Approximate inner products with all item vectors.

    Item vectors are rounded to whole multiples of one step, so that their sums need no scaling to be compared, and each
    query to multiples of its own. By Cauchy-Schwarz the first moves an inner product by at most the query's length
    times the largest change of a vector, and the second by the query's change times the longest vector.

    Args:
        item_vectors: (V, D) float32, finite.
    """

    def __init__(self, item_vectors: NDArray[np.float32]) -> None:
        num_columns, size = item_vectors.shape
        self._step = _steps(np.abs(item_vectors).max(initial=0), _ITEM_LEVELS)
        all_codes = np.empty((size, num_columns), dtype=np.int8)
        self._change = self._longest = 0.0
        for start in range(0, num_columns, _BLOCK):
            block = item_vectors[start : start + _BLOCK]
            codes = np.rint(block / self._step)
            all_codes[:, start : start + _BLOCK] = codes.T
            self._change = max(self._change, float(_lengths(block - self._step * codes).max()))
            self._longest = max(self._longest, float(_lengths(block).max()))
        self._session = _compiled(all_codes)

    def of(self, queries: NDArray[np.float32]) -> Coarse:
        """Return the coarse scores of queries (B, D), which are finite."""
        steps = _steps(np.abs(queries).max(axis=1), _QUERY_LEVELS)
        codes = np.rint(queries / steps[:, None])
        change = queries - steps[:, None] * codes
        rounding = 4 * queries.shape[1] * _ROUNDING * self._longest  # of sums in single precision
        errors = _lengths(change) * np.float32(self._longest) + _lengths(queries) * np.float32(self._change + rounding)
        scores: NDArray[np.int32] = self._session.run(None, {"queries": (codes + _ZERO).astype(np.uint8)})[0]
        return Coarse(scores, steps * self._step, errors)


def _steps(largest: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Return the step with which the largest number is the last level; 1 where all are zero."""
    steps: NDArray[np.float32] = np.where(largest > 0, largest / np.float32(levels), np.float32(1))
    return steps


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return lengths


def _compiled(codes: NDArray[np.int8]) -> ort.InferenceSession:
    size, num_columns = codes.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["queries", "codes", "zero"], ["scores"])],
        "coarse",
        [helper.make_tensor_value_info("queries", TensorProto.UINT8, ["batch", size])],
        [helper.make_tensor_value_info("scores", TensorProto.INT32, ["batch", num_columns])],
        [
            numpy_helper.from_array(codes, "codes"),
            numpy_helper.from_array(np.uint8(_ZERO).reshape(()), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the largest batch of scores for good
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
