import numpy as np
import pytest
from safetensors.numpy import save_file

from recmodels.arrays import check_finite, is_tame, read_arrays

EXPECTED = {"a": (np.float32, 1), "b": (np.int64, 2)}
GOOD = {"a": np.ones(3, np.float32), "b": np.zeros((2, 1), np.int64)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def test_arrays_are_read_when_they_are_what_is_expected(path):
    save_file(GOOD, path)
    arrays = read_arrays(path, EXPECTED)
    assert {name: array.tolist() for name, array in arrays.items()} == {"a": [1, 1, 1], "b": [[0], [0]]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": np.ones(3)}, r"some.safetensors: 'a' is float64 of shape \(3,\), expected float32 of 1 dimensions"),
        ({"b": np.zeros(2, np.int64)}, r"'b' is int64 of shape \(2,\), expected int64 of 2 dimensions"),
        ({"c": np.ones(1)}, "some.safetensors: it holds a, b, c, expected a, b"),
    ],
)
def test_arrays_are_refused_when_one_is_another(path, change, words):
    save_file(GOOD | change, path)
    with pytest.raises(ValueError, match=words):
        read_arrays(path, EXPECTED)


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 64, None])
def test_a_file_is_refused_by_name_when_it_is_no_safetensors_file(path, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^some.safetensors: "):
        read_arrays(path, EXPECTED)


def test_numbers_are_refused_when_some_are_not_finite():
    check_finite(np.ones((2, 2), np.float32), file="f", name="n")
    with pytest.raises(ValueError, match=r"f: 'n' holds 2 of 4 numbers that are not finite"):
        check_finite(np.array([[1, np.nan], [-np.inf, 0]], np.float32), file="f", name="n")


@pytest.mark.parametrize(("largest", "expected"), [(9e14, True), (-9e14, True), (1e15, False), (-3e38, False)])
def test_vectors_are_tame_when_their_products_stay_in_single_precision(largest, expected):
    vectors = np.ones((3, 64), np.float32)
    vectors[1] = largest
    assert is_tame(vectors) is expected
    if expected:
        assert np.isfinite(vectors @ vectors.T).all()
