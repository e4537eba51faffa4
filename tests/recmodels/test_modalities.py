import hashlib

import numpy as np
import pytest
from pydantic import ValidationError

from recmodels.errors import SourceError
from recmodels.modalities import Modality, VectorReader, dim_of
from tests.recmodels.worlds import full_items

ITEMS = full_items({"0": {"text": "red car"}, "2": {}, "1": {"text": "blue car"}, "nobody": {}})


def a_file(folder, rows, *, dtype=np.float32, name="image", **fields):
    file = folder / f"{name}.npy"
    np.save(file, np.array(rows, dtype))
    return Modality(name=name, file=file, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), **fields)


def test_vectors_are_standard_by_the_items_that_have_them_when_they_are_read(tmp_path):
    modality = a_file(tmp_path, [[1, 5, 0], [3, 5, 8], [0, 0, 0]])
    found = VectorReader([modality], ITEMS).read(ITEMS)
    assert found.has["image"].tolist() == [True, False, True, False]
    root = 3**-0.5  # means 2, 5, 4; deviations 1, 0, 4; a constant says nothing
    expected = [[-root, 0, -root], [0, 0, 0], [root, 0, root], [0, 0, 0]]
    np.testing.assert_allclose(found.vectors["image"], expected, rtol=1e-6)


def test_an_item_after_the_catalogue_is_scaled_as_the_catalogue_is(tmp_path):
    reader = VectorReader([a_file(tmp_path, [[1], [3], [7]])], full_items({"0": {}, "1": {}}))
    np.testing.assert_allclose(reader.read(full_items({"2": {}})).vectors["image"], [[5.0]])


def test_numbers_of_half_precision_do_not_overflow_when_they_are_scaled(tmp_path):
    rows = np.random.default_rng(0).normal(60_000, 2_000, (4, 3)).clip(max=65_000)
    found = VectorReader([a_file(tmp_path, rows, dtype=np.float16)], ITEMS).read(ITEMS).vectors["image"]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.abs(found).max(), 1.4142 / 3**0.5, atol=0.05)  # three values: at most sqrt(2)


def test_rows_are_of_the_named_items_when_there_are_ids(tmp_path):
    (tmp_path / "ids.txt").write_text("nobody\n1\n")
    modality = a_file(tmp_path, [[4.0], [6.0]], ids=tmp_path / "ids.txt", scaling="none")
    assert VectorReader([modality], ITEMS).read(ITEMS).vectors["image"].ravel().tolist() == [0, 0, 6, 4]


def test_a_row_of_nan_is_an_item_without_the_modality(tmp_path):
    found = VectorReader([a_file(tmp_path, [[np.nan], [2], [4]])], ITEMS).read(ITEMS)
    assert found.has["image"].tolist() == [False, True, True, False]
    assert np.isfinite(found.vectors["image"]).all()


def test_texts_are_a_modality_when_an_encoder_is_named():
    text = Modality(name="text", text="hashed", text_config={"embedding_dim": 8}, scaling="none")
    found = VectorReader([text], ITEMS).read(ITEMS)
    assert dim_of(text) == 8
    assert found.has["text"].tolist() == [True, False, True, False]
    np.testing.assert_allclose(np.linalg.norm(found.vectors["text"], axis=1), [1, 0, 1, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "fields", "words"),
    [
        ([[1.0], [np.inf]], {}, r"1 rows hold numbers and NaN or infinity, first row 1"),
        ([[1.0, np.nan], [1, 2]], {}, r"first row 0"),
        ([1.0, 2.0], {}, r"holds an array \(2,\) of float32; expected numbers of two dimensions"),
        ([["a"], ["b"]], {"dtype": "U1"}, r"expected numbers of two dimensions"),
        ([[0.0], [0.0], [0.0]], {}, r"none of the 4 items of the catalogue has it, first '0'"),
    ],
)
def test_a_file_is_refused_when_it_holds_no_vectors(tmp_path, rows, fields, words):
    with pytest.raises(SourceError, match=words):
        VectorReader([a_file(tmp_path, rows, **fields)], ITEMS)


def test_a_file_is_refused_when_it_is_not_the_one_that_is_meant(tmp_path):
    modality = a_file(tmp_path, [[1.0]])
    np.save(modality.file, np.array([[2.0]], np.float32))
    with pytest.raises(SourceError, match=rf"has the SHA-256 [0-9a-f]{{64}}, expected {modality.sha256}"):
        VectorReader([modality], ITEMS)
    modality.file.unlink()
    with pytest.raises(SourceError, match=r"modality 'image': .*image\.npy cannot be read \(No such file"):
        VectorReader([modality], ITEMS)


def test_ids_are_refused_when_they_are_not_one_a_row(tmp_path):
    (tmp_path / "ids.txt").write_text("0\n0\n")
    with pytest.raises(SourceError, match="names 2 items, 1 of them distinct, for 3 rows"):
        VectorReader([a_file(tmp_path, [[1], [2], [3]], ids=tmp_path / "ids.txt")], ITEMS)


def test_an_object_array_is_refused_when_it_would_need_pickle(tmp_path):
    file = tmp_path / "image.npy"
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    modality = Modality(name="image", file=file, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(SourceError, match=r"is not a \.npy file of numbers"):
        dim_of(modality)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "needs either a file of vectors or a text encoder"),
        ({"file": "a.npy", "sha256": "0" * 64, "text": "hashed"}, "needs either a file of vectors or a text encoder"),
        ({"file": "a.npy"}, "needs sha256, the digest of a.npy"),
        ({"text": "hushed"}, "hushed"),
        ({"text": "hashed", "text_config": {"colour": 1}}, "colour"),
    ],
)
def test_a_modality_is_refused_when_its_origin_is_not_clear(fields, words):
    with pytest.raises(ValidationError, match=words):
        Modality(name="image", **fields)
