"""A ranker as it is served: equal to torch, one history for a hundred candidates, refused when damaged."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from recmodels.errors import BundleError
from recmodels.ranking.calibration import Calibration
from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.export import export_ranker
from recmodels.ranking.inputs import inputs_of
from recmodels.ranking.network import RankingNetwork
from recmodels.ranking.scorer import RankingScorer
from recmodels.ranking.training import predict
from tests.recmodels.ranking.exposures import SPEC, exposures

CONFIG = NetworkConfig(
    embedding_dim=8,
    backbone="rankmixer",
    multi_task="ple",
    scenario="sar",
    watch_time="d2q",
    backbone_config={"num_layers": 1},
)


@pytest.fixture(scope="module")
def rows():
    return exposures(80, seed=6)


@pytest.fixture(scope="module")
def network(rows):
    torch.manual_seed(3)
    made = RankingNetwork(SPEC, CONFIG)
    made.begin(rows)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.fixture(scope="module")
def scorer(network, rows):
    curves = np.tile(np.array([2.0, 1.5, -0.25], np.float32), (len(SPEC.surfaces), len(SPEC.tasks), 1))
    return export_ranker(network, rows, calibration=Calibration(curves, np.array([[1, 20], [2, 30]], np.float32)))


def test_predictions_equal_torch_when_calibration_is_off(scorer, network, rows):
    plain = scorer.calibrated(Calibration.none(SPEC))
    expected, served = predict(network, rows), plain.score(rows)
    np.testing.assert_allclose(served.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(served.watch, expected.watch, rtol=1e-4, atol=1e-4)


def test_probabilities_are_the_curve_of_the_network_s(scorer, network, rows):
    p = predict(network, rows).probabilities.astype(np.float64)
    curved = p**2 * np.exp(-0.25) / (1 - p) ** 1.5
    np.testing.assert_allclose(scorer.score(rows).probabilities, curved / (1 + curved), atol=1e-5)


def test_seconds_are_the_curve_of_the_network_s(scorer, network, rows):
    plain = predict(network, rows).watch
    inside = np.interp(plain, [0, 1, 20], [0, 2, 30])
    np.testing.assert_allclose(scorer.score(rows).watch, np.where(plain > 20, 1.5 * plain, inside), rtol=1e-4)


def test_one_history_is_looked_up_once_for_all_candidates_when_they_share_it(scorer, rows):
    one_request = replace(rows, histories=rows.histories.take(np.full(80, 5)))
    two_requests = replace(rows, histories=rows.histories.take(np.repeat([5, 7], 40)))
    assert inputs_of(one_request).histories.shape[0] == 1
    assert inputs_of(two_requests).histories.shape[0] == 2
    together, single = scorer.score(one_request), [scorer.score(one_request.take(np.array([n]))) for n in range(3)]
    for n, alone in enumerate(single):
        np.testing.assert_allclose(alone.logits[0], together.logits[n], atol=1e-5)
    np.testing.assert_allclose(scorer.score(two_requests).logits[:40], together.logits[:40], atol=1e-5)


def test_no_candidate_gives_no_prediction(scorer, rows):
    nothing = scorer.score(rows.take(np.arange(0)))
    assert nothing.logits.shape == (0, 3)
    assert nothing.watch.shape == (0,)


def test_rows_of_another_spec_are_refused(scorer, rows):
    other = replace(rows, spec=replace(SPEC, surfaces=("other", "video", "live", "shop")))
    with pytest.raises(ValueError, match=r"surfaces \('other', 'video', 'live', 'shop'\).*this ranker was trained on"):
        scorer.score(other)


def test_predictions_are_equal_when_a_scorer_is_saved_and_loaded(scorer, rows, tmp_path):
    scorer.save(tmp_path)
    loaded = RankingScorer.load(tmp_path)
    before, after = scorer.score(rows), loaded.score(rows)
    np.testing.assert_array_equal(before.logits, after.logits)
    np.testing.assert_array_equal(before.watch, after.watch)


def without_a_table(folder):
    arrays = load_file(folder / "ranker.safetensors")
    save_file({name: array for name, array in arrays.items() if name != "queries"}, folder / "ranker.safetensors")


def with_infinite_numbers(folder):
    arrays = load_file(folder / "ranker.safetensors")
    save_file(arrays | {"items": arrays["items"] * np.float32(np.inf)}, folder / "ranker.safetensors")


def with_falling_seconds(folder):
    arrays = load_file(folder / "ranker.safetensors")
    save_file(arrays | {"seconds": arrays["seconds"][:, ::-1].copy()}, folder / "ranker.safetensors")


def with_another_spec(folder):
    spec = json.loads((folder / "ranker.json").read_text())
    (folder / "ranker.json").write_text(json.dumps(spec | {"numeric": ["quality"]}))


def with_a_torn_graph(folder):
    graph = (folder / "ranker.onnx").read_bytes()
    (folder / "ranker.onnx").write_bytes(graph[: len(graph) // 2])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_a_table, "it holds .* expected .*'queries'"),
        (with_infinite_numbers, "'items' holds .* not finite"),
        (with_falling_seconds, "'seconds' is no curve"),
        (with_another_spec, "numbers"),
        (with_a_torn_graph, "not an ONNX model"),
        (lambda folder: (folder / "ranker.json").unlink(), "ranker.json"),
        (lambda folder: (folder / "ranker.json").write_text('{"tasks": 3}'), "ranker.json"),
    ],
)
def test_a_damaged_folder_is_refused(scorer, tmp_path, damage, words):
    scorer.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=f"(?s)the ranker cannot be read: .*{words}"):
        RankingScorer.load(tmp_path)
