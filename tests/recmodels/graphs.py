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


def timed_model(size: int = 2) -> onnx.ModelProto:
    """A graph whose query is the sum of the items' vectors, each times the seconds by which it is older than the last,
    less 10."""
    nodes = [
        helper.make_node("Gather", ["times", "newest"], ["now"], axis=1),
        helper.make_node("Sub", ["now", "times"], ["age"]),
        helper.make_node("Cast", ["age"], ["microseconds"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["microseconds", "millionth"], ["seconds"]),
        helper.make_node("Sub", ["seconds", "ten"], ["older"]),
        helper.make_node("Cast", ["is_item"], ["exists"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["older", "exists"], ["weight"]),
        helper.make_node("Unsqueeze", ["weight", "axis"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["present"]),
        helper.make_node("ReduceSum", ["present", "one"], ["query"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "aged sum",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [*BATCH_LENGTH, size]),
            helper.make_tensor_value_info("is_item", TensorProto.BOOL, BATCH_LENGTH),
            helper.make_tensor_value_info("times", TensorProto.INT64, BATCH_LENGTH),
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", size])],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("newest", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("millionth", TensorProto.FLOAT, [1], [1e-6]),
            helper.make_tensor("ten", TensorProto.FLOAT, [1], [10.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def timed_encoder(size: int = 2) -> bytes:
    return timed_model(size).SerializeToString()


def summing_encoder(size: int = 2) -> bytes:
    return summing_model(size).SerializeToString()
