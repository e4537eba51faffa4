"""Encoders by hand: one that scores as the champion does, and one that takes its time for it."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.sparse.linalg import eigsh

from benchmarks.zoo.variants import table_of
from benchmarks.zoo.world import World

_SIDE = 1024
_PRODUCTS = 12
"""Products of two 1024 x 1024 matrices that the slow encoder makes for every batch: a quarter of a second, one core."""


def item_vectors(world: World, *, dimensions: int = 48) -> NDArray[np.float32]:
    """Factor the champion's table into vectors, (V, D), so that an encoder that sums them scores almost as it does."""
    weights = table_of(world)
    symmetric = (weights + weights.T) / 2
    values, vectors = eigsh(
        symmetric.astype(np.float64), k=min(dimensions, weights.shape[0] - 2), which="LA", v0=np.ones(weights.shape[0])
    )
    return np.ascontiguousarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float32)


def slow_graph() -> bytes:
    """Return the encoder of `sum_graph` with a quarter of a second of work that adds next to nothing."""
    nodes = [helper.make_node("Add", ["query_0", "noise"], ["query"])]
    before = [
        helper.make_node("Slice", ["query_0", "zero", "one", "axis"], ["first_row"]),
        helper.make_node("Slice", ["first_row", "zero", "one", "second_axis"], ["seed"]),
        helper.make_node("Expand", ["seed", "square"], ["product_0"]),
        helper.make_node("ConstantOfShape", ["square"], ["averaging"], value=_tensor("v", [1.0 / _SIDE])),
        *(helper.make_node("MatMul", [f"product_{n}", "averaging"], [f"product_{n + 1}"]) for n in range(_PRODUCTS)),
        helper.make_node("ReduceMax", [f"product_{_PRODUCTS}"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "nothing"], ["noise"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
        helper.make_tensor("second_axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("square", TensorProto.INT64, [2], [_SIDE, _SIDE]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [], [1e-30]),
    ]
    return sum_graph([*before, *nodes], constants)


def sum_graph(nodes: Sequence[onnx.NodeProto] = (), constants: Sequence[onnx.TensorProto] = ()) -> bytes:
    """Return an encoder that sums the vectors of a history, followed by `nodes`, which turn `query_0` into `query`."""
    total = "query_0" if nodes else "query"
    summing = [
        helper.make_node("Cast", ["is_item"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weight", "last"], ["weights"]),
        helper.make_node("Mul", ["vectors", "weights"], ["known"]),
        helper.make_node("ReduceSum", ["known", "middle"], [total], keepdims=0),
    ]
    axes = [
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
        helper.make_tensor("middle", TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(
        [*summing, *nodes],
        "encoder",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["B", "L", "D"]),
            helper.make_tensor_value_info("is_item", TensorProto.BOOL, ["B", "L"]),
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["B", "D"])],
        [*axes, *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _tensor(name: str, values: list[float]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [len(values)], values)
