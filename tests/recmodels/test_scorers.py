import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.errors import BundleError
from recmodels.scorers import EncoderScorer, ItemItemScorer, StaticScorer, item_matrix, known_items, load_scorer

INF = np.inf
# rows: what items 2, 3 and 4 say of the columns 2, 3 and 4
TABLE = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 2], [0, 0, 1, 0, 4], [0, 0, 2, 4, 0]], np.float32)


def summing_encoder():
    """A graph whose query is the sum of the items' vectors; padding adds nothing."""
    nodes = [
        helper.make_node("Cast", ["is_item"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weight", "axis"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["present"]),
        helper.make_node("ReduceSum", ["present", "one"], ["query"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "sum",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", "length", 2]),
            helper.make_tensor_value_info("is_item", TensorProto.BOOL, ["batch", "length"]),
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def scorers():
    vectors = np.array([[7, 7], [8, 8], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
    return {
        "static": StaticScorer(np.array([9, 9, 3, 1, 2], dtype=np.float32)),
        "item_item": ItemItemScorer(sparse.csr_array(TABLE), history_length=2),
        "encoder": EncoderScorer(summing_encoder(), vectors, max_length=2),
    }


@pytest.fixture(params=["static", "item_item", "encoder"])
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


def test_encoder_answers_in_order_when_histories_fill_several_chunks():
    items = [[2] * (n % 3) for n in range(600)]
    queries = scorers()["encoder"].queries(Histories.from_lists(items))
    assert queries[:, 0].tolist() == [min(n % 3, 2) for n in range(600)]


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
    with pytest.raises(BundleError, match=r"'pickle' is not known. Known: encoder, item_item, static"):
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


def test_item_matrix_holds_ones_when_items_repeat_or_are_unknown():
    matrix = item_matrix(Histories.from_lists([[3, 3, 1], [], [4, 2]]), 5)
    assert matrix.toarray().tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 1]]


def test_known_items_are_the_very_histories_when_nothing_is_unknown():
    histories = Histories.from_lists([[2], [3]])
    assert known_items(histories) is histories


def test_known_items_keep_order_and_empty_rows_when_rows_overlap():
    events = Histories.from_lists([[2, 1, 3, 4]])
    views = Histories(events.items, events.timestamps, np.array([0, 1, 1]), np.array([3, 2, 4]))
    known = known_items(views)
    assert [known.row(b).tolist() for b in range(3)] == [[2, 3], [], [3, 4]]
