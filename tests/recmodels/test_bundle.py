import json
import re
from datetime import timedelta

import numpy as np
import pytest
from scipy import sparse

from recmodels.bundle import load_bundle, swap_ids
from recmodels.data.histories import Histories
from recmodels.errors import BundleError
from recmodels.ranker import Ranker
from recmodels.scorers import ItemItemScorer, StaticScorer
from tests.recmodels.worlds import CUTOFF, a_bundle, a_recipe, a_vocabulary, an_items_table, save_bundle

SCORER = StaticScorer(np.arange(7, dtype=np.float32))


def test_loaded_bundle_holds_what_was_written_when_nothing_changed(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    bundle = load_bundle(tmp_path, digest)
    manifest = bundle.manifest
    assert (bundle.digest, bundle.path) == (digest, tmp_path / digest)
    assert bundle.vocabulary.ids.tolist() == ["i0", "i1", "i2", "i3", "i4"]
    assert bundle.items.equals(an_items_table(a_vocabulary(5)))
    assert bundle.item_counts.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert (manifest.model, manifest.scorer, manifest.num_items) == ("popularity", "static", 5)
    assert manifest.recipe == a_recipe().model_dump(mode="json")
    assert manifest.recipe_digest == a_recipe().digest
    assert (manifest.snapshot, manifest.trained_until) == ("snapshot-1", CUTOFF)
    assert manifest.metrics == {"ndcg_at_10": 0.25}
    np.testing.assert_array_equal(
        bundle.scorer.score(Histories.from_lists([[2]])), SCORER.score(Histories.from_lists([[2]]))
    )


def test_digest_and_bytes_are_equal_when_a_bundle_is_written_in_two_places(tmp_path):
    first, second = save_bundle(tmp_path / "a", SCORER), save_bundle(tmp_path / "b" / "deeper", SCORER)
    assert first == second
    for path in (tmp_path / "a" / first).rglob("*.*"):
        other = tmp_path / "b" / "deeper" / second / path.relative_to(tmp_path / "a" / first)
        assert path.read_bytes() == other.read_bytes()


def test_nothing_else_is_left_when_a_bundle_is_written_twice(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / digest).rglob("*")}
    assert save_bundle(tmp_path, SCORER) == digest
    assert [path.name for path in tmp_path.iterdir()] == [digest]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / digest).rglob("*")} == before


def test_a_damaged_folder_is_repaired_when_its_bundle_is_written_again(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    (tmp_path / digest / "items.parquet").write_bytes(b"")
    assert save_bundle(tmp_path, SCORER) == digest
    assert load_bundle(tmp_path, digest).digest == digest
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_no_path_of_the_machine_is_in_a_bundle_when_it_is_written(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    for path in (tmp_path / digest).rglob("*.*"):
        assert not re.search(rb"/(tmp|home|root|work|usr)/", path.read_bytes()), path


@pytest.mark.parametrize(
    "change",
    [
        {"scorer": StaticScorer(np.arange(1, 8, dtype=np.float32))},
        {"recipe": a_recipe(epochs=7)},
        {"snapshot": "snapshot-2"},
        {"trained_until": CUTOFF + timedelta(days=1)},
        {"metrics": {"ndcg_at_10": 0.2500001}},
        {"item_counts": np.ones(7, dtype=np.int64)},
        {"items": an_items_table(a_vocabulary(5), blocked=("i1",))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_digest_differs_when_any_part_differs(tmp_path, change):
    fields = {"scorer": SCORER} | change
    scorer = fields.pop("scorer")
    assert save_bundle(tmp_path, scorer, **fields) != save_bundle(tmp_path, SCORER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_counts": np.ones(6, dtype=np.int64)}, "made for 7, 7, 6, 7 entries"),
        ({"items": an_items_table(a_vocabulary(4))}, "made for 7, 6, 7, 7 entries"),
        ({"vocabulary": a_vocabulary(6), "items": an_items_table(a_vocabulary(6))}, "made for 8, 8, 7, 7 entries"),
        ({"items": an_items_table(a_vocabulary(5)).take([4, 1, 2, 3, 0])}, "differ in order"),
    ],
)
def test_writing_is_refused_when_the_parts_do_not_fit(tmp_path, change, message):
    with pytest.raises(BundleError, match=message):
        save_bundle(tmp_path, SCORER, **change)
    assert not list(tmp_path.iterdir())


def test_writing_is_refused_when_a_metric_is_not_finite(tmp_path):
    with pytest.raises(ValueError, match="finite"):
        save_bundle(tmp_path, SCORER, metrics={"ndcg_at_10": float("nan")})


def test_loading_is_refused_when_a_file_is_not_what_its_name_says(tmp_path, monkeypatch):
    class Odd(StaticScorer):
        def save(self, folder):
            (folder / "arrays.safetensors").write_bytes(b"not safetensors")

    digest = save_bundle(tmp_path, Odd(np.arange(7, dtype=np.float32)))
    with pytest.raises(BundleError, match="static scorer cannot be read"):
        load_bundle(tmp_path, digest)


def test_loading_is_refused_when_the_scorer_was_made_for_another_catalogue(tmp_path):
    class Shrinking(StaticScorer):
        def save(self, folder):
            StaticScorer(self.scores[:-1]).save(folder)

    digest = save_bundle(tmp_path, Shrinking(np.arange(7, dtype=np.float32)))
    with pytest.raises(BundleError, match="made for 7, 7, 7, 6 entries"):
        load_bundle(tmp_path, digest)


def test_swapped_bundle_ranks_other_items_when_the_model_is_personal(tmp_path):
    table = np.zeros((42, 42), dtype=np.float32)
    table[np.arange(2, 41), np.arange(3, 42)] = 1
    digest = a_bundle(tmp_path, ItemItemScorer(sparse.csr_array(table))).digest
    bad = swap_ids(tmp_path, digest, seed=1)
    assert bad != digest
    good_ranker, bad_ranker = Ranker(load_bundle(tmp_path, digest)), Ranker(load_bundle(tmp_path, bad))
    assert [good_ranker.recommend([f"i{n}"], k=1).item_ids[0] for n in range(5)] == ["i1", "i2", "i3", "i4", "i5"]
    assert [bad_ranker.recommend([f"i{n}"], k=1).item_ids[0] for n in range(5)] != ["i1", "i2", "i3", "i4", "i5"]


def test_swapped_bundle_still_tells_the_truth_about_items_when_ids_are_dealt_anew(tmp_path):
    items = an_items_table(a_vocabulary(5), blocked=("i3",))
    digest = save_bundle(tmp_path, SCORER, items=items)
    bundle = load_bundle(tmp_path, swap_ids(tmp_path, digest, seed=3))
    ids = bundle.vocabulary.ids.tolist()
    assert sorted(ids) == ["i0", "i1", "i2", "i3", "i4"]
    assert ids != sorted(ids)
    assert dict(zip(ids, bundle.item_counts[2:].tolist(), strict=True)) == {"i0": 2, "i1": 3, "i2": 4, "i3": 5, "i4": 6}
    assert "i3" not in Ranker(bundle).recommend([], k=5).item_ids
    assert f"seed 3, from {digest}" in bundle.manifest.note


def test_swapping_gives_the_same_digest_when_the_seed_is_the_same(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    assert swap_ids(tmp_path, digest, seed=5) == swap_ids(tmp_path, digest, seed=5)
    assert swap_ids(tmp_path, digest, seed=5) != swap_ids(tmp_path, digest, seed=6)


def test_manifest_is_canonical_json_when_it_is_read(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    text = (tmp_path / digest / "manifest.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
