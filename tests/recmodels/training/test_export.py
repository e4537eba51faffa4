import copy

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from recmodels.errors import TrainingError
from recmodels.training.export import check_graph, export_encoder
from tests.recmodels.encoders.encoders import ENCODERS, LONGEST, SIZE

ALIKE = (
    "cnn",
    "hstu",
    "hstu_timed",
    "ligr",
)  # made of operators that the transformer's export shows; the models' contract exports all


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=pytest.mark.slow) if kind in ALIKE else kind for kind in ENCODERS],
)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def encoder(kind):
    torch.manual_seed(0)
    return ENCODERS[kind]().train()


@pytest.fixture(scope="module")
def graph(encoder):
    return export_encoder(encoder, embedding_dim=SIZE, max_length=LONGEST)


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, LONGEST), (6, 4), (2, 7)])
def test_the_graph_equals_torch_when_batch_and_length_are_any(encoder, graph, batch, length):
    vectors = torch.randn(batch, length, SIZE)
    is_item = torch.arange(length) >= torch.randint(0, length + 1, (batch, 1))
    inputs = {"vectors": vectors, "is_item": is_item}
    if encoder.uses_time:
        inputs["times"] = 1_700_000_000_000_000 + torch.randint(0, 10**14, (batch, length)).sort().values
    session = ort.InferenceSession(graph)
    assert [value.name for value in session.get_inputs()] == [*inputs]
    served = session.run(["query"], {name: value.numpy() for name, value in inputs.items()})[0]
    with torch.no_grad():
        expected = encoder.eval().last(*inputs.values())
    encoder.train()
    np.testing.assert_allclose(served, expected.numpy(), atol=1e-4)


def test_the_encoder_stays_as_it_was_when_it_is_exported(encoder, graph):
    assert graph
    assert encoder.training


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gru"], indirect=True)
def test_a_recurrence_is_of_any_length_when_the_process_has_exported_one_before(encoder, graph):
    assert export_encoder(encoder, embedding_dim=SIZE, max_length=LONGEST) == graph


def test_nothing_of_the_machine_is_in_the_bytes_when_a_graph_is_exported(graph):
    model = onnx.load_from_string(graph)
    parts = [model, model.graph, *model.graph.node, *model.graph.initializer]
    assert not any(len(part.metadata_props) or part.doc_string for part in parts)
    assert not any(word in graph for word in (b".py", b"/home", b"/root", b"/tmp", b"stack_trace"))
    assert [size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", "length", ""]


@pytest.mark.parametrize(("added", "difference"), [(float("nan"), "nan"), (0.5, r"\d\.\d\de")])
def test_a_graph_is_refused_when_it_is_not_what_the_encoder_computes(encoder, graph, added, difference):
    check_graph(graph, encoder, embedding_dim=SIZE, max_length=LONGEST)
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        next(weight for weight in reversed(list(other.parameters()))).add_(added)  # the last bias
    with pytest.raises(TrainingError, match=f"differs from the trained one by {difference}"):
        check_graph(graph, other, embedding_dim=SIZE, max_length=LONGEST)
