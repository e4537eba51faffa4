import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recmodels.bundle import load_bundle
from recmodels.errors import BundleError
from recmodels.memory import forecast_bytes
from tests.recmodels.test_manifest import rewrite_manifest
from tests.recmodels.worlds import save_bundle, static


def test_the_forecast_is_more_than_the_files_and_grows_with_the_items(tmp_path):
    forecasts = []
    for count in (10, 1000):
        folder = tmp_path / save_bundle(tmp_path, static(*range(count)))
        forecasts.append(forecast_bytes(folder, num_items=count))
        assert forecasts[-1] > sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert forecasts[1] > 10 * forecasts[0]


def test_a_table_counts_unpacked_when_it_is_packed_well(tmp_path):
    ids = pa.array(["the very same text"] * 1_000_000)
    pq.write_table(pa.table({"item_id": ids}), tmp_path / "items.parquet", compression="zstd")
    assert (tmp_path / "items.parquet").stat().st_size < 100_000
    assert forecast_bytes(tmp_path, num_items=0) >= ids.nbytes


def test_loading_names_both_numbers_when_the_forecast_is_more_than_permitted(tmp_path):
    digest = save_bundle(tmp_path, static(*range(500)))
    needed = forecast_bytes(tmp_path / digest, num_items=500)
    assert load_bundle(tmp_path, digest, max_bytes=needed).digest == digest
    with pytest.raises(BundleError, match=f"would take about {needed} bytes of memory; at most {needed - 1} are given"):
        load_bundle(tmp_path, digest, max_bytes=needed - 1)


def test_loading_is_refused_when_the_manifest_promises_more_items_than_fit(tmp_path):
    digest = save_bundle(tmp_path, static(1, 2, 3))
    with pytest.raises(BundleError, match="would take about"):
        load_bundle(tmp_path, rewrite_manifest(tmp_path, digest, num_items=10**10))


def test_a_forecast_is_near_what_arrays_take_when_vectors_are_many(tmp_path):
    count = 20_000
    digest = save_bundle(tmp_path, static(*np.zeros(count)))
    bundle = load_bundle(tmp_path, digest)
    arrays = bundle.scorer.scores.nbytes + bundle.item_counts.nbytes + 2 * bundle.vocabulary.ids.nbytes
    assert arrays < forecast_bytes(tmp_path / digest, num_items=count) < 2**20 + 60 * arrays
