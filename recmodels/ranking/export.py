"""From a trained network to what is served: an ONNX graph of all but its tables, and the tables as arrays."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from recmodels.errors import TrainingError
from recmodels.ranking.calibration import Calibration
from recmodels.ranking.embeddings import Vectors
from recmodels.ranking.examples import Examples
from recmodels.ranking.graph import HISTORY, INPUTS, IS_ITEM, OUTPUTS
from recmodels.ranking.network import RankingNetwork
from recmodels.ranking.scorer import RankingScorer
from recmodels.ranking.training import predict
from recmodels.training.export import quiet_exporter, stripped

_OPSET = 20
_TOLERANCE = 1e-4


def export_ranker(network: RankingNetwork, probe: Examples, *, calibration: Calibration | None = None) -> RankingScorer:
    """Return the scorer of a network, the same bytes for the same weights.

    Args:
        network: Trained; stays as it is.
        probe: A few rows on which the scorer is compared with the network, at least one.
        calibration: Of the tasks' probabilities; None leaves them as they are.

    Raises:
        TrainingError: Before calibration the scorer differs from the network by more than 1e-4 in a logit, or by more
            than 1e-4 of the seconds and 1 in watch time.
    """
    on_cpu = copy.deepcopy(network).cpu().eval()
    plain = RankingScorer(network.spec, _graph(on_cpu), on_cpu.embeddings.arrays(), Calibration.none(network.spec))
    expected, served = predict(on_cpu, probe), plain.score(probe)
    apart = float(np.abs(expected.logits - served.logits).max())
    seconds = np.abs(expected.watch - served.watch) / (1 + np.abs(expected.watch))
    apart = max(apart, float(seconds.max()) if on_cpu.watch is not None else 0.0)
    if not apart <= _TOLERANCE:
        raise TrainingError(
            f"the exported ranker differs from the trained one by {apart:.2e}; at most {_TOLERANCE:.0e} is accepted. "
            "Check its weights and the versions of torch and onnx."
        )
    return plain if calibration is None else plain.calibrated(calibration)


class _Judging(nn.Module):
    def __init__(self, network: RankingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        vectors = Vectors(*inputs)
        raw = self.network.judge(vectors)
        return raw.logits, self.network.seconds(raw, vectors.duration)


def _graph(network: RankingNetwork) -> bytes:
    """Return the ONNX model: any number of rows, of histories, and of items in them up to the longest."""
    rows, histories, length = 4, 3, min(2, network.spec.max_history)
    dim, width = network.config.embedding_dim, network.embeddings.num_fields
    example = Vectors(
        item=torch.zeros(rows, dim),
        fields=torch.zeros(rows, width, dim),
        numbers=torch.zeros(rows, len(network.spec.numeric)),
        surfaces=torch.zeros(rows, dtype=torch.int64),
        duration=torch.ones(rows),
        history=torch.zeros(histories, length, dim),
        is_item=torch.ones(histories, length, dtype=torch.bool),
        request=torch.zeros(rows, dtype=torch.int64),
    )
    any_size = torch.export.Dim.DYNAMIC
    shapes = {name: {0: any_size, 1: any_size} if name in {HISTORY, IS_ITEM} else {0: any_size} for name in INPUTS}
    with torch.no_grad(), quiet_exporter():
        program = torch.onnx.export(
            _Judging(network).eval(),
            tuple(example),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(tuple(shapes.values()),),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "the exporter returns a program when it is given no file"
    return stripped(program.model_proto)
