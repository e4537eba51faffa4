import gzip
import json

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import multimodal
from recmodels.data.sources.parts import read

ROWS = [
    *[("train", user, 0) for user in "abcdefgh"],
    *[("train", user, 1) for user in "abcde"],
    ("train", "f", 2),
    *[("valid", "a", 2), ("valid", "b", 3)],
    *[("test", "a", 3), ("test", "f", 1), ("test", "c", 2)],
]
"""Item 3 is in no training row."""


@pytest.fixture
def folder(tmp_path):
    text = "split,user,item\n" + "".join(f"{part},{user},{item}\n" for part, user, item in ROWS)
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("image", "audio"):
        np.save(tmp_path / f"{name}_feat.npy", np.random.default_rng(1).normal(size=(4, 3)).astype(np.float16))
    return tmp_path


def popular(world):
    recipe = multimodal.recipe_of(multimodal._tree("popularity"), None)
    return multimodal.answers(multimodal.fitted(world, recipe, seed=0)[0], world, world.split.test)


def test_training_items_alone_are_asked_with_and_left_out(folder):
    world = multimodal.published(read(folder))
    ids = world.split.vocabulary.ids
    test = world.split.test
    known = {user: sorted(ids[test.histories.row(n) - 2]) for n, user in enumerate(test.user_ids)}
    assert known == {"a": ["0", "1"], "c": ["0", "1"], "f": ["0", "2"]}
    assert world.unseen["item_id"].to_pylist() == ["3"]
    found = popular(world)  # a: 3 is never listed; c: 2 is first of what is left; f: 1 is
    assert found.recall.tolist() == [0, 1, 1]
    assert found.ndcg.tolist() == [0, 1, 1]
    assert found.target_counts.tolist() == [0, 1, 5]


def test_new_items_lose_their_training_rows_and_stay_targets(folder):
    world = multimodal.published(read(folder), without=pa.array(["1"]))
    assert sorted(world.unseen["item_id"].to_pylist()) == ["1", "3"]
    found = popular(world)
    assert found.is_new.tolist() == [False, False, True]
    assert found.recall.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(found.among_new, [np.nan, np.nan, 0])


@pytest.mark.slow
def test_a_target_that_training_never_held_is_listed_by_content(folder, monkeypatch):
    monkeypatch.setitem(multimodal.TRAINER, "epochs", 1)
    world = multimodal.published(read(folder))
    tree = multimodal._tree("multimodal")
    tree["model"]["config"] |= {"negatives": 2, "embedding_dim": 4}
    found = multimodal.answers(
        multimodal.fitted(world, multimodal.recipe_of(tree, folder), seed=0)[0], world, world.split.test
    )
    assert found.recall.tolist() == [1, 1, 1]  # four items, twenty slots


@pytest.mark.slow
def test_the_table_is_printed_and_kept(folder, tmp_path, capsys):
    multimodal.main([str(folder), "--seeds", "0", "--out", str(tmp_path / "out.json"), "--json"])
    kept = json.loads((tmp_path / "out.json").read_text())
    labels = [run["label"] for run in kept["runs"] if run["world"] == "published"]
    assert labels == [*multimodal.BASELINES, *multimodal.OURS]
    targets = [line["target"] for line in json.loads(capsys.readouterr().out) if line["figure"].endswith("recall@20")]
    assert ">= 0.092" in targets
