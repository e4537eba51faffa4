"""Weights in a bundle: kept once, refused when damaged, and out of the way of who serves."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recmodels.bundle import load_bundle, swap_ids
from recmodels.errors import BundleError
from recmodels.lineage import WEIGHTS
from recmodels.manifest import verify
from recmodels.memory import forecast_bytes
from recmodels.weights import load_weights, vectors_of
from tests.recmodels.worlds import a_bundle, save_bundle, static

ARRAYS = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "layer.bias": np.zeros(2, np.float32)}


def test_weights_come_back_as_they_were_when_a_bundle_is_loaded(tmp_path):
    bundle = load_bundle(tmp_path, save_bundle(tmp_path, static(1, 2), weights=ARRAYS))
    stored = load_weights(bundle)
    assert stored.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(stored[name], array)


def test_the_digest_tells_weights_apart(tmp_path):
    other = ARRAYS | {"layer.bias": np.ones(2, np.float32)}
    digests = {save_bundle(tmp_path, static(1, 2), weights=weights) for weights in (None, ARRAYS, other, ARRAYS)}
    assert len(digests) == 3


def test_who_serves_is_forecast_the_same_memory_when_a_bundle_holds_weights(tmp_path):
    large = {"layer": np.zeros(1_000_000, np.float32)}
    plain, trained = (save_bundle(tmp_path, static(1, 2), weights=weights) for weights in (None, large))
    forecasts = [forecast_bytes(tmp_path / digest, num_items=2) for digest in (plain, trained)]
    assert forecasts[1] - forecasts[0] < 1000  # the manifest's line alone


def test_a_spoiled_bundle_has_no_weights_to_go_on_from(tmp_path):
    digest = save_bundle(tmp_path, static(1, 2, 3), weights=ARRAYS)
    spoiled = swap_ids(tmp_path, digest, seed=0)
    assert WEIGHTS in verify(tmp_path, digest).files
    assert WEIGHTS not in verify(tmp_path, spoiled).files
    with pytest.raises(BundleError, match="holds no trained weights"):
        load_weights(load_bundle(tmp_path, spoiled))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"layer": np.zeros(2, np.float64)}, "'layer' is float64, expected float32"),
        ({"layer": np.array([1, np.nan], np.float32)}, "1 of 2 numbers that are not finite"),
        (b"no safetensors", "cannot be read"),
    ],
)
def test_weights_are_refused_when_they_are_no_weights(tmp_path, arrays, words):
    bundle = load_bundle(tmp_path, save_bundle(tmp_path, static(1, 2), weights=ARRAYS))
    path = bundle.path / WEIGHTS
    path.write_bytes(arrays) if isinstance(arrays, bytes) else save_file(arrays, path)
    with pytest.raises(BundleError, match=words):
        load_weights(bundle)


def test_vectors_are_refused_when_a_scorer_has_none(tmp_path):
    with pytest.raises(BundleError, match="scorer of kind 'static', without vectors"):
        vectors_of(a_bundle(tmp_path, static(1, 2)))


def test_a_bundle_of_a_closed_form_has_no_training_folder(tmp_path):
    digest = save_bundle(tmp_path, static(1, 2), weights={})
    assert not (tmp_path / digest / WEIGHTS).parent.exists()
    assert load_file(tmp_path / digest / "counts.safetensors")
