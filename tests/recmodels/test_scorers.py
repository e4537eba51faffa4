import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.errors import BundleError
from recmodels.scorers import (
    EncoderScorer,
    FactorScorer,
    ItemItemScorer,
    StaticScorer,
    item_matrix,
    load_scorer,
)
from tests.recmodels.graphs import summing_encoder, timed_encoder

INF = np.inf
# rows: what items 2, 3 and 4 say of the columns 2, 3 and 4
TABLE = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 2], [0, 0, 1, 0, 4], [0, 0, 2, 4, 0]], np.float32)


def scorers():
    vectors = np.array([[7, 7], [8, 8], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
    return {
        "static": StaticScorer(np.array([9, 9, 3, 1, 2], dtype=np.float32)),
        "item_item": ItemItemScorer(sparse.csr_array(TABLE), history_length=2),
        "encoder": EncoderScorer(summing_encoder(), vectors, max_length=2),
        "factors": FactorScorer(vectors * (vectors < 2), regularisation=1.0, confidence=3.0),
    }


@pytest.fixture(params=["static", "item_item", "encoder", "factors"])
def scorer(request):
    return scorers()[request.param]


def test_static_scores_are_the_same_for_everybody_when_histories_differ():
    scores = scorers()["static"].score(Histories.from_lists([[2], []]))
    assert scores.tolist() == [[-INF, -INF, 3, 1, 2]] * 2


def test_item_item_scores_are_the_sum_of_rows_when_a_history_holds_two_items():
    scorer = ItemItemScorer(sparse.csr_array(TABLE))
    assert scorer.score(Histories.from_lists([[2, 3], [4]]))[:, 2:].tolist() == [[1, 1, 6], [2, 4, 0]]


def test_item_item_counts_an_item_once_when_it_is_repeated():
    scorer = ItemItemScorer(sparse.csr_array(TABLE))
    assert scorer.score(Histories.from_lists([[3, 3, 3]]))[:, 2:].tolist() == [[1, 0, 4]]


def test_item_item_uses_the_last_known_events_when_its_history_is_limited():
    scorer = scorers()["item_item"]
    assert scorer.score(Histories.from_lists([[4, 2, 1, 3, 1]]))[:, 2:].tolist() == [[1, 1, 6]]


def test_encoder_scores_are_inner_products_when_a_history_is_encoded():
    scores = scorers()["encoder"].score(Histories.from_lists([[2, 3], [4]]))
    assert scores[:, 2:].tolist() == [[1, 1, 2], [1, 1, 2]]


def test_encoder_uses_the_last_events_when_a_history_is_longer():
    assert scorers()["encoder"].score(Histories.from_lists([[4, 2, 2]]))[:, 2:].tolist() == [[2, 0, 2]]


def test_encoder_is_given_the_times_of_known_items_when_its_graph_takes_them(tmp_path):
    EncoderScorer(timed_encoder(), scorers()["encoder"].item_vectors, max_length=2).save(tmp_path)
    scorer = load_scorer("encoder", tmp_path)
    histories = Histories.from_lists([[4, 2, 1, 3], [3]], [[0, 5, 6, 20_000_005], [9]])
    assert scorer.queries(histories).tolist() == [[20 - 10, 0 - 10], [0, -10]]  # of items 2 and 3, and of item 3


def test_encoder_answers_in_order_when_histories_fill_several_chunks():
    items = [[2] * (n % 3) for n in range(600)]
    queries = scorers()["encoder"].queries(Histories.from_lists(items))
    assert queries[:, 0].tolist() == [min(n % 3, 2) for n in range(600)]


def test_factor_scores_are_those_worked_out_by_hand_when_a_history_holds_one_item():
    """Y'Y + I is [[3, 1], [1, 3]]; item 2 = (1, 0) adds 2 to the corner: x solves [[5, 1], [1, 3]] x = (3, 0)."""
    scores = scorers()["factors"].score(Histories.from_lists([[2], []]))
    np.testing.assert_allclose(scores[0, 2:], [9 / 14, -3 / 14, 6 / 14], rtol=1e-6)
    assert scores[1, 2:].tolist() == [0, 0, 0]


def test_special_columns_are_never_scored_whatever_the_history(scorer):
    scores = scorer.score(Histories.from_lists([[], [2, 1, 3], [1]]))
    assert scores.dtype == np.float32
    assert (scores[:, :2] == -INF).all()
    assert np.isfinite(scores[:, 2:]).all()


def test_scores_are_those_of_the_rest_when_a_history_holds_unknown_items(scorer):
    with_unknown, without = Histories.from_lists([[2, 1, 3, 1], [1]]), Histories.from_lists([[2, 3], []])
    np.testing.assert_array_equal(scorer.score(with_unknown), scorer.score(without))


def test_no_row_is_returned_when_there_is_no_history(scorer):
    assert scorer.score(Histories.from_lists([])).shape == (0, 5)


def test_loaded_scorer_gives_equal_scores_when_it_was_saved(scorer, tmp_path):
    scorer.save(tmp_path)
    loaded = load_scorer(scorer.kind, tmp_path)
    histories = Histories.from_lists([[2], [3, 4], [], [4, 3, 2]])
    np.testing.assert_array_equal(loaded.score(histories), scorer.score(histories))
    assert loaded.vocabulary_size == 5


def test_saved_bytes_are_equal_when_a_scorer_is_saved_twice(scorer, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        scorer.save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files
    assert [(tmp_path / "a" / f).read_bytes() for f in files] == [(tmp_path / "b" / f).read_bytes() for f in files]


def test_loading_names_the_kinds_when_a_kind_is_unknown(tmp_path):
    with pytest.raises(BundleError, match=r"'pickle' is not known. Known: encoder, factors, item_item, static"):
        load_scorer("pickle", tmp_path)


def test_loading_fails_with_a_reason_when_any_file_is_damaged(scorer, tmp_path):
    scorer.save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        path.write_bytes(b"junk")
        with pytest.raises(BundleError, match="cannot be read"):
            load_scorer(scorer.kind, tmp_path)
        path.write_bytes(content)


def test_loading_fails_when_a_setting_is_missing(tmp_path):
    scorers()["item_item"].save(tmp_path)
    (tmp_path / "scorer.json").write_text(json.dumps({}))
    with pytest.raises(BundleError, match="history_length"):
        load_scorer("item_item", tmp_path)


def test_loading_fails_when_a_table_points_outside_itself(tmp_path):
    table = scorers()["item_item"].weights.copy()
    table.indices[0] = 99
    ItemItemScorer(table).save(tmp_path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_scorer("item_item", tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_item_item_sums_are_those_of_a_matrix_product_to_the_bit_when_tables_are_random(seed):
    rng = np.random.default_rng(seed)
    table = sparse.random_array((40, 40), density=0.3, rng=rng, dtype=np.float32, format="csr")
    histories = Histories.from_lists([rng.integers(1, 40, size=n).tolist() for n in (0, 1, 7, 30, 3)])
    expected = (item_matrix(histories, 40) @ table).toarray()
    np.testing.assert_array_equal(ItemItemScorer(table).sums(histories, table), expected)


def test_item_item_sums_have_the_columns_of_their_table_when_it_is_not_square():
    scorer = ItemItemScorer(sparse.csr_array(TABLE))
    other = sparse.csr_array(np.array([[0], [0], [1], [10], [100]], np.float32))
    assert scorer.sums(Histories.from_lists([[2, 4], [], [3]]), other).tolist() == [[101], [0], [10]]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "static",
            {"scores": np.array([0, 0, 1, np.nan, np.inf], np.float32)},
            "'scores' holds 2 of 3 numbers that are",
        ),
        ("static", {"scores": np.zeros(5)}, r"'scores' is float64 of shape \(5,\), expected float32 of 1 dim"),
        ("static", {"other": np.zeros(5, np.float32)}, "it holds other, scores, expected scores"),
        ("item_item", {"values": np.full(6, -np.inf, np.float32)}, "'values' holds 6 of 6 numbers"),
        ("item_item", {"columns": np.zeros(6, np.int64)}, "'columns' is int64"),
        ("item_item", {"columns": np.full(6, 99, np.int32)}, "not a table of 5 rows and columns"),
        ("item_item", {"offsets": np.array([0, 0, 0, 9, 4, 6])}, "not a table of 5 rows and columns"),
        ("encoder", {"item_vectors": np.full((5, 2), np.nan, np.float32)}, "'item_vectors' holds 10 of 10 numbers"),
        ("encoder", {"item_vectors": np.zeros((5, 2), np.float16)}, "'item_vectors' is float16"),
        ("encoder", {"item_vectors": np.zeros(10, np.float32)}, r"'item_vectors' is float32 of shape \(10,\)"),
        ("factors", {"item_factors": np.full((5, 2), np.inf, np.float32)}, "'item_factors' holds 10 of 10 numbers"),
        ("factors", {"item_factors": np.full((5, 2), 1e30, np.float32)}, "no history's factors can be solved for"),
        ("factors", {"numbers": np.array([0.0, 3.0, 0.0])}, "expected a regularisation above 0"),
        ("factors", {"numbers": np.array([1.0, 0.5, 0.0])}, "a confidence of at least 1"),
        ("factors", {"numbers": np.array([1.0, np.nan, 0.5])}, "a whole number of events"),
        ("encoder", {"item_vectors": np.zeros((5, 3), np.float32)}, "encoder.onnx: a history of 1 items cannot be enc"),
    ],
)
def test_loading_names_file_and_array_when_an_array_is_not_what_it_should_be(tmp_path, name, change, words):
    scorers()[name].save(tmp_path)
    path = tmp_path / "arrays.safetensors"
    save_file(load_file(path) | change, path)
    with pytest.raises(
        BundleError, match=f"the {name} scorer cannot be read: (arrays.safetensors|encoder.onnx): "
    ) as e:
        load_scorer(name, tmp_path)
    assert re.search(words, str(e.value))


@pytest.mark.parametrize("value", [-1, 0, 10_001, 2.5, "3", None, True])
def test_loading_is_refused_when_the_length_of_histories_is_none(tmp_path, value):
    scorers()["encoder"].save(tmp_path)
    (tmp_path / "scorer.json").write_text(json.dumps({"max_length": value}))
    with pytest.raises(BundleError, match=r"scorer.json: 'max_length' is .*, expected a whole number from 1 to 10000"):
        load_scorer("encoder", tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", "3"])
def test_loading_is_refused_when_settings_are_no_mapping(tmp_path, text):
    scorers()["encoder"].save(tmp_path)
    (tmp_path / "scorer.json").write_text(text)
    with pytest.raises(BundleError, match=r"scorer.json: it holds no 'max_length'"):
        load_scorer("encoder", tmp_path)
