import hashlib
import json
import re
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from scipy import sparse

from recmodels.bundle import load_bundle, swap_ids
from recmodels.data.histories import Histories
from recmodels.errors import BundleError
from recmodels.manifest import Manifest, seal
from recmodels.ranker import Ranker
from recmodels.retrieval.config import RetrievalConfig
from recmodels.scorers import EncoderScorer, ItemItemScorer, StaticScorer
from tests.recmodels.graphs import summing_encoder
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


def an_encoder(count=300):
    rng = np.random.default_rng(0)
    return EncoderScorer(summing_encoder(4), rng.normal(size=(count + 2, 4)).astype(np.float32), max_length=5)


def a_searched_recipe(**retrieval):
    return a_recipe().model_copy(update={"retrieval": RetrievalConfig(**retrieval)})


def test_the_manifest_tells_of_no_search_when_the_model_has_no_item_vectors(tmp_path):
    assert load_bundle(tmp_path, save_bundle(tmp_path, SCORER)).manifest.retrieval is None


def test_items_are_compared_one_by_one_when_they_are_few(tmp_path):
    bundle = load_bundle(tmp_path, save_bundle(tmp_path, an_encoder()))
    assert bundle.manifest.retrieval.kind == "exact"
    assert bundle.scorer.graph is None
    assert not list(bundle.path.rglob("graph*"))


def test_a_graph_is_kept_and_searched_when_the_recipe_asks_for_it(tmp_path):
    wide = load_bundle(tmp_path, save_bundle(tmp_path, an_encoder(2000), recipe=a_searched_recipe(kind="hnsw")))
    assert wide.manifest.retrieval.kind == "hnsw"
    assert wide.manifest.retrieval.recall_at_100 >= 0.98
    assert wide.scorer.graph.ef_search == wide.manifest.retrieval.ef_search
    plain = load_bundle(tmp_path, save_bundle(tmp_path, an_encoder(2000)))
    histories = Histories.from_lists([[n, n + 5] for n in range(2, 40)])
    found, expected = (Ranker(b).top_k(histories, k=5, remove_seen=True).items for b in (wide, plain))
    assert (found == expected).mean() > 0.95


def test_a_graph_is_built_when_the_recipe_leaves_it_to_the_number_of_items(tmp_path):
    few, many = (
        save_bundle(tmp_path, an_encoder(300), recipe=a_searched_recipe(hnsw_from=limit)) for limit in (301, 300)
    )
    assert [load_bundle(tmp_path, digest).manifest.retrieval.kind for digest in (few, many)] == ["exact", "hnsw"]


def test_exact_search_is_kept_and_the_manifest_says_so_when_a_graph_finds_too_little(tmp_path):
    poor = a_searched_recipe(kind="hnsw", hnsw_m=4, ef_construction=8, ef_search=16, recall_floor=1.0)
    bundle = load_bundle(tmp_path, save_bundle(tmp_path, an_encoder(2000), recipe=poor))
    assert bundle.manifest.retrieval.kind == "exact"
    assert bundle.manifest.retrieval.recall_at_100 < 1
    assert "below the floor of 1.0" in bundle.manifest.retrieval.words
    assert bundle.scorer.graph is None


def test_the_digest_is_the_same_when_a_graph_is_built_again(tmp_path):
    recipe = a_searched_recipe(kind="hnsw")
    first = save_bundle(tmp_path / "a", an_encoder(1500), recipe=recipe)
    assert save_bundle(tmp_path / "b", an_encoder(1500), recipe=recipe) == first
    with_graph = load_bundle(tmp_path / "a", first).scorer
    assert save_bundle(tmp_path / "c", with_graph, recipe=recipe) == first


def test_the_recall_is_measured_with_the_histories_that_are_given(tmp_path):
    recipe = a_searched_recipe(kind="hnsw", hnsw_m=4, ef_construction=8, ef_search=16, recall_floor=0)
    probes = Histories.from_lists([[n] for n in range(2, 700)])
    drawn = load_bundle(tmp_path, save_bundle(tmp_path, an_encoder(1500), recipe=recipe)).manifest.retrieval
    given = save_bundle(tmp_path, an_encoder(1500), recipe=recipe, probes=probes)
    assert load_bundle(tmp_path, given).manifest.retrieval.recall_at_100 != drawn.recall_at_100


def test_swapped_bundle_keeps_its_graph_when_ids_are_dealt_anew(tmp_path):
    digest = save_bundle(tmp_path, an_encoder(400), recipe=a_searched_recipe(kind="hnsw"))
    swapped = load_bundle(tmp_path, swap_ids(tmp_path, digest, seed=1))
    assert swapped.manifest.retrieval == load_bundle(tmp_path, digest).manifest.retrieval
    assert (swapped.path / "scorer" / "graph.safetensors").exists()


def test_many_items_are_scored_coarsely_first_when_there_is_no_graph(tmp_path):
    few, many = (load_bundle(tmp_path, save_bundle(tmp_path, an_encoder(n))).scorer for n in (300, 8192))
    assert few.coarse is None
    assert many.coarse is not None


def resealed(root, digest, name, change):
    """Change one file of a bundle as somebody would who can also write manifests."""
    folder = root / digest
    change(folder / name)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").unlink()
    new = seal(folder, manifest)
    folder.rename(root / new)
    return new


def write_counts(*counts, kind=np.int64):
    return lambda path: save_file({"item_counts": np.array(counts, kind)}, path)


def write_items(**columns):
    def change(path):
        table = pq.read_table(path)
        for name, values in columns.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        pq.write_table(table, path)

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("counts.safetensors", write_counts(0, 0, 1, -5, 2, 3, 4), "'item_counts' holds -5, expected no count below 0"),
        ("counts.safetensors", write_counts(0, 0, 1, 1, 2, 3, 4, kind=np.float64), "'item_counts' is float64"),
        ("counts.safetensors", lambda path: path.write_bytes(b"junk"), "counts.safetensors: "),
        (
            "items.parquet",
            write_items(safety=["ok", "ok", "OK", "blocked", "?"]),
            r"'safety' holds \['OK', '\?'\], exp",
        ),
        ("items.parquet", write_items(safety=["ok", None, "ok", "ok", "ok"]), r"'safety' holds \[None\]"),
        ("items.parquet", write_items(surface=[1, 2, 3, 4, 5]), "expected 'surface' as text"),
        ("items.parquet", lambda path: pq.write_table(pq.read_table(path).drop(["safety"]), path), "expected 'safety'"),
        ("items.parquet", lambda path: path.write_bytes(b"PAR1"), "cannot be read"),
        (
            "scorer/arrays.safetensors",
            lambda path: save_file({"scores": np.full(7, np.nan, np.float32)}, path),
            "5 of 5",
        ),
    ],
)
def test_loading_names_the_file_when_its_content_is_not_a_model_of_ours(tmp_path, name, change, words):
    digest = resealed(tmp_path, save_bundle(tmp_path, SCORER), name, change)
    with pytest.raises(BundleError, match=words) as refusal:
        load_bundle(tmp_path, digest)
    assert words == "cannot be read" or name.split("/")[-1] in str(refusal.value)


def test_loading_names_the_graph_when_its_links_lead_outside(tmp_path):
    def cut(path):
        arrays = load_file(path)
        save_file(arrays | {"neighbors": arrays["neighbors"] + 10_000}, path)

    digest = save_bundle(tmp_path, an_encoder(400), recipe=a_searched_recipe(kind="hnsw"))
    new = resealed(tmp_path, digest, "scorer/graph.safetensors", cut)
    with pytest.raises(BundleError, match=r"encoder scorer cannot be read: graph.safetensors: links lead to items"):
        load_bundle(tmp_path, new)


def test_a_bundle_of_the_first_format_is_still_read(tmp_path):
    digest = save_bundle(tmp_path, SCORER)
    path = tmp_path / digest / "manifest.json"
    old = json.loads(path.read_bytes()) | {"format_version": 1}
    del old["retrieval"]
    text = json.dumps(old, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(text)
    old_digest = hashlib.sha256(text).hexdigest()
    (tmp_path / digest).rename(tmp_path / old_digest)
    assert load_bundle(tmp_path, old_digest).manifest.retrieval is None


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_lists_are_flagged_when_weights_are_numbers_whose_sums_are_not(tmp_path, kind):
    scorer = an_encoder(8192)
    scorer.item_vectors[9] = np.finfo(np.float32).max
    bundle = load_bundle(tmp_path, save_bundle(tmp_path, scorer, recipe=a_searched_recipe(kind=kind)))
    assert (bundle.manifest.retrieval.kind, bundle.scorer.coarse) == ("exact", None)
    slate = Ranker(bundle).recommend(["i7"], k=3)
    assert slate.non_finite
    assert len(slate.item_ids) == 3
