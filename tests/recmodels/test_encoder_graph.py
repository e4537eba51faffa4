import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recmodels.encoder_graph import Encoder
from tests.recmodels.graphs import BATCH_LENGTH, summing_encoder, summing_model, timed_encoder, timed_model


def refused(model: onnx.ModelProto, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Encoder(model.SerializeToString())


def test_a_graph_is_run_when_it_takes_vectors_and_gives_a_query():
    vectors = np.array([[[1, 2], [3, 4]]], np.float32)
    assert Encoder(summing_encoder()).run(vectors, np.array([[True, True]])).tolist() == [[4, 6]]
    assert Encoder(summing_encoder()).run(vectors, np.array([[False, True]])).tolist() == [[3, 4]]


def test_a_graph_is_run_when_it_takes_times_too():
    encoder = Encoder(timed_encoder())
    encoder.try_out(embedding_dim=2, max_length=5)
    vectors = np.array([[[1, 2], [3, 4]]], np.float32)
    now = 1_700_000_000_000_000
    queries = encoder.run(vectors, np.array([[True, True]]), np.array([[now - 30_000_000, now]]))
    assert queries.tolist() == [[1 * 20 - 3 * 10, 2 * 20 - 4 * 10]]
    assert (encoder.uses_time, Encoder(summing_encoder()).uses_time) == (True, False)


def test_a_graph_is_refused_when_its_times_are_of_another_type():
    model = timed_model()
    model.graph.input[2].type.tensor_type.elem_type = TensorProto.FLOAT
    refused(model, r"times \(FLOAT of 2 dimensions\) where .*times \(INT64 of 2 dimensions\) is expected")


@pytest.mark.parametrize("content", [b"", b"junk", summing_encoder()[:200]])
def test_a_graph_is_refused_when_it_is_none(content):
    with pytest.raises(ValueError, match=r"not an ONNX model|where vectors .* is expected"):
        Encoder(content)


def test_a_graph_is_refused_when_an_input_has_another_name():
    model = summing_model()
    model.graph.input[0].name = "embeddings"
    refused(model, r"embeddings \(FLOAT of 3 dimensions\), is_item .* where vectors \(FLOAT of 3 dimensions\)")


def test_a_graph_is_refused_when_an_output_has_another_type_or_there_are_two():
    model = summing_model()
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    refused(model, r"query \(DOUBLE of 2 dimensions\) where query \(FLOAT of 2 dimensions\) is expected")
    model = summing_model()
    model.graph.output.append(helper.make_tensor_value_info("present", TensorProto.FLOAT, [*BATCH_LENGTH, 2]))
    refused(model, r"query \(FLOAT of 2 dimensions\), present")


def external_tensor(location: str) -> TensorProto:
    tensor = TensorProto(name="one", data_type=TensorProto.INT64, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_a_graph_is_refused_when_weights_lie_in_another_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.array([1], np.int64).tofile(tmp_path / "weights")  # ONNX Runtime would find it here
    model = summing_model()
    model.graph.initializer[1].CopyFrom(external_tensor("weights"))
    refused(model, r"the graph's 'one' lies in another file \(weights\)")


def test_a_graph_is_refused_when_a_constant_or_a_branch_refers_to_a_file():
    constant = helper.make_node("Constant", [], ["c"], value=external_tensor("/etc/hosts"))
    model = summing_model()
    model.graph.node.append(constant)
    refused(model, r"lies in another file \(/etc/hosts\)")
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", TensorProto.INT64, [1])])
    model = summing_model()
    model.graph.node.append(helper.make_node("If", ["flag"], ["d"], then_branch=branch, else_branch=branch))
    refused(model, r"lies in another file \(/etc/hosts\)")


def test_a_graph_is_refused_when_a_sparse_weight_refers_to_a_file():
    model = summing_model()
    model.graph.sparse_initializer.add().values.CopyFrom(external_tensor("elsewhere"))
    refused(model, r"lies in another file \(elsewhere\)")


def test_a_graph_is_refused_when_it_needs_operators_of_others():
    model = summing_model()
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    refused(model, "operators beyond the standard's: com.example")
    model = summing_model()
    model.graph.node[2].domain = "com.microsoft"
    refused(model, "operators beyond the standard's: com.microsoft")


def test_a_graph_is_refused_when_it_brings_functions_of_its_own():
    model = summing_model()
    body = [helper.make_node("Identity", ["x"], ["y"])]
    model.functions.append(helper.make_function("", "Mine", ["x"], ["y"], body, [helper.make_opsetid("", 20)]))
    refused(model, "operators beyond the standard's: Mine")


def test_a_graph_is_refused_when_an_operator_does_not_exist():
    model = summing_model()
    model.graph.node[2].op_type = "Multiply"
    refused(model, "ONNX Runtime refuses the graph")


def test_trying_out_passes_when_every_history_gives_one_vector():
    Encoder(summing_encoder(3)).try_out(embedding_dim=3, max_length=7)


def test_trying_out_fails_when_vectors_are_of_another_size():
    with pytest.raises(ValueError, match="a history of 1 items cannot be encoded"):
        Encoder(summing_encoder(3)).try_out(embedding_dim=4, max_length=7)


def with_last_node(node: onnx.NodeProto, *constants: onnx.TensorProto) -> onnx.ModelProto:
    model = summing_model()
    model.graph.node[3].output[0] = "sum"
    model.graph.node.append(node)
    model.graph.initializer.extend(constants)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "size"
    return model


def test_trying_out_fails_when_queries_are_not_finite():
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    model = with_last_node(helper.make_node("Div", ["sum", "zero"], ["query"]), zero)
    with pytest.raises(ValueError, match=r"two histories of 1 items give 'query' .*, 0 of 4 numbers finite"):
        Encoder(model.SerializeToString()).try_out(embedding_dim=2, max_length=2)


def test_trying_out_fails_when_queries_have_another_shape():
    model = with_last_node(helper.make_node("Concat", ["sum", "sum"], ["query"], axis=1))
    with pytest.raises(ValueError, match=r"of shape \(2, 4\), 8 of 8 numbers finite; expected \(2, 2\), all"):
        Encoder(model.SerializeToString()).try_out(embedding_dim=2, max_length=2)
