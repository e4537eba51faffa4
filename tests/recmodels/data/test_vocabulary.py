import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmodels.data.vocabulary import FIRST_ITEM, PADDING, UNKNOWN, Vocabulary
from recmodels.errors import DataError

IDS = st.lists(st.text(min_size=1, max_size=6).filter(lambda text: "\x00" not in text), max_size=20)


def test_size_counts_the_two_special_entries() -> None:
    vocabulary = Vocabulary.build(["b", "a", "b"])
    assert (len(vocabulary), vocabulary.size) == (2, 4)
    assert (PADDING, UNKNOWN, FIRST_ITEM) == (0, 1, 2)


def test_numbers_do_not_depend_on_the_order_or_on_repetition() -> None:
    ids = [str(number) for number in range(50)]
    first = Vocabulary.build(ids)
    assert first.ids.tolist() == Vocabulary.build(ids[::-1] + ids[:7]).ids.tolist()
    assert first.ids.tolist() != ids
    assert first.ids.tolist() != sorted(ids)


def test_numbers_follow_a_fixed_hash() -> None:
    """In the order of `b2sum -l 64`; a change would number every stored bundle's items anew."""
    assert Vocabulary.build(["a", "b", "c", "d"]).ids.tolist() == ["c", "a", "b", "d"]


@pytest.mark.parametrize("kind", [list, tuple, np.array, pa.array, lambda ids: pa.chunked_array([ids[:1], ids[1:]])])
def test_unknown_ids_become_one_whatever_holds_them(kind: object) -> None:
    vocabulary = Vocabulary(np.array(["x", "y"]))
    encoded = vocabulary.encode(kind(["y", "?", "x"]))  # type: ignore[operator]
    assert encoded.tolist() == [3, UNKNOWN, 2]
    assert encoded.dtype == np.int32


def test_null_ids_are_unknown() -> None:
    assert Vocabulary(np.array(["x"])).encode(pa.array(["x", None])).tolist() == [2, UNKNOWN]


def test_no_ids_encode_to_nothing() -> None:
    vocabulary = Vocabulary(np.array(["x"]))
    for ids in ([], np.array([], dtype=np.str_), pa.array([], pa.string())):
        assert vocabulary.encode(ids).tolist() == []


def test_nulls_are_left_out_when_building() -> None:
    assert Vocabulary.build(pa.array(["x", None])).ids.tolist() == ["x"]


def test_an_empty_vocabulary_knows_nothing() -> None:
    vocabulary = Vocabulary.build([])
    assert vocabulary.size == 2
    assert vocabulary.encode(["x"]).tolist() == [UNKNOWN]


def test_special_indices_decode_to_marks() -> None:
    assert Vocabulary(np.array(["x"])).decode([0, 1, 2]).tolist() == ["<padding>", "<unknown>", "x"]


@given(IDS)
def test_decode_undoes_encode(ids: list[str]) -> None:
    vocabulary = Vocabulary.build(ids)
    assert vocabulary.decode(vocabulary.encode(ids)).tolist() == ids
    assert vocabulary.encode(ids).tolist() == vocabulary.encode(pa.array(ids, pa.string())).tolist()


def test_a_table_gives_the_same_vocabulary_back() -> None:
    vocabulary = Vocabulary.build(["a", "b", "c"])
    assert Vocabulary.from_table(vocabulary.to_table()).ids.tolist() == vocabulary.ids.tolist()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"id": ["a"]}), "expected 'item_id'"),
        (pa.table({"item_id": ["a", "a"]}), "every id must stand in it once"),
        (pa.table({"item_id": ["a", None]}), "1 nulls"),
    ],
)
def test_from_table_is_refused_when_ids_are_not_unique(table: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary.from_table(table)
