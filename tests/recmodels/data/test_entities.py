from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recmodels.data.entities import changed_items, normalise_items, normalise_users
from recmodels.data.schema import ITEMS, USERS
from recmodels.errors import DataError
from tests.recmodels.data.tables import interactions

EVENTS = interactions([("u", "a", 1), ("w", "b", 2)])


def test_every_item_of_the_interactions_gets_a_row_when_none_is_described() -> None:
    items = normalise_items(None, EVENTS, source="test")
    assert items.schema.equals(ITEMS)
    assert items["item_id"].to_pylist() == ["a", "b"]
    assert items["safety"].to_pylist() == ["unlabelled", "unlabelled"]


def test_described_items_come_first_and_absent_ones_are_added() -> None:
    table = pa.table({"item_id": [7], "text": ["seven"], "safety": ["blocked"], "published_at": [datetime(2024, 1, 1)]})
    items = normalise_items(table, EVENTS, source="test").to_pylist()
    assert [row["item_id"] for row in items] == ["7", "a", "b"]
    assert (items[0]["text"], items[0]["safety"]) == ("seven", "blocked")
    assert items[0]["published_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert items[1]["text"] is None


def test_the_first_of_repeated_items_is_kept_and_null_ids_are_left_out() -> None:
    table = pa.table({"item_id": ["b", "a", "b", None], "text": ["1", "2", "3", "4"]})
    items = normalise_items(table, EVENTS, source="test")
    assert items["item_id"].to_pylist() == ["b", "a"]
    assert items["text"].to_pylist() == ["1", "2"]


def test_null_ids_of_interactions_get_no_row() -> None:
    events = EVENTS.set_column(2, "item_id", pa.array(["a", None]))
    assert normalise_items(None, events, source="test")["item_id"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"text": ["x"]}), "column 'item_id' is missing"),
        (pa.table({"item_id": ["a"], "titel": ["x"]}), "column 'titel' is not part of the contract"),
        (pa.table({"item_id": ["a"], "duration_seconds": ["long"]}), "holds 'long' at data row 1"),
    ],
)
def test_items_are_refused_when_they_are_not_the_contracts(table: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        normalise_items(table, EVENTS, source="test")


def test_other_columns_of_users_become_text_attributes() -> None:
    users = normalise_users(pa.table({"user_id": ["w"], "age": [24]}), EVENTS, source="test")
    assert users.to_pylist() == [
        {"user_id": "w", "signed_up_at": None, "age": "24"},
        {"user_id": "u", "signed_up_at": None, "age": None},
    ]


def test_every_user_of_the_interactions_gets_a_row_when_none_is_described() -> None:
    users = normalise_users(None, EVENTS, source="test")
    assert users.schema.equals(USERS)
    assert users["user_id"].to_pylist() == ["u", "w"]


def test_users_are_refused_when_they_have_no_id() -> None:
    with pytest.raises(DataError, match="column 'user_id' is missing"):
        normalise_users(pa.table({"age": [24]}), EVENTS, source="test")


def test_changed_items_are_those_that_are_new_or_have_other_facts() -> None:
    def items(*rows: tuple[str, str | None, str]) -> pa.Table:
        return pa.Table.from_pylist(
            [{"item_id": item_id, "text": text, "safety": safety} for item_id, text, safety in rows], schema=ITEMS
        )

    held = items(("a", None, "ok"), ("b", "bee", "ok"), ("c", "sea", "ok"), ("d", None, "ok"))
    given = items(("e", None, "ok"), ("a", None, "ok"), ("b", None, "ok"), ("c", "sea", "blocked"))

    changed = changed_items(held, given)

    assert changed.equals(items(("b", None, "ok"), ("c", "sea", "blocked"), ("e", None, "ok")))
    assert changed_items(held, held).equals(ITEMS.empty_table())
