"""Encoders as ONNX graphs, written by hand."""

import onnx
from onnx import TensorProto, helper

BATCH_LENGTH = ["batch", "length"]


def summing_model(size: int = 2) -> onnx.ModelProto:
    """A graph whose query is the sum of the items' vectors; padding adds nothing."""
    nodes = [
        helper.make_node("Cast", ["is_item"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weight", "axis"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["present"]),
        helper.make_node("ReduceSum", ["present", "one"], ["query"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "sum",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [*BATCH_LENGTH, size]),
            helper.make_tensor_value_info("is_item", TensorProto.BOOL, BATCH_LENGTH),
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", size])],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def summing_encoder(size: int = 2) -> bytes:
    return summing_model(size).SerializeToString()
