"""Columns and types: what is cast without loss, and what is reported."""

import pyarrow as pa
import pytest

from monitoring.conformity import conform
from recmodels.data.schema import INTERACTIONS, OUTCOMES
from tests.monitoring.sample_tables import sample, with_column

TABLE = sample("interactions", rows=3)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("event_id", pa.large_string()),
        ("event_id", pa.string_view()),
        ("surface", pa.dictionary(pa.int32(), pa.string())),
        ("timestamp", pa.timestamp("ns", "Europe/Berlin")),
        ("timestamp", pa.timestamp("s", "UTC")),
        ("watch_seconds", pa.float32()),
        ("rating", pa.int64()),
    ],
    ids=str,
)
def test_conform_casts_a_column_when_its_type_is_of_the_same_family(column: str, kind: pa.DataType) -> None:
    conformed = conform(with_column(TABLE, column, TABLE[column].cast(kind)), INTERACTIONS)
    assert conformed.table.equals(TABLE)
    assert conformed.usable == frozenset(INTERACTIONS.names)


@pytest.mark.parametrize(
    ("column", "values", "seen"),
    [
        ("timestamp", TABLE["timestamp"].cast(pa.timestamp("us")), "timestamp[us]"),
        ("timestamp", TABLE["timestamp"].cast(pa.string()), "string"),
        ("user_id", pa.array([1, 2, 3]), "int64"),
        ("clicked", pa.array([1, 0, 1]), "int64"),
        ("watch_seconds", pa.array(["a", "b", "c"]), "string"),
        ("item_id", pa.nulls(3), "null"),
    ],
    ids=str,
)
def test_conform_reports_a_column_when_casting_it_could_lose_something(
    column: str, values: pa.Array, seen: str
) -> None:
    conformed = conform(with_column(TABLE, column, values), INTERACTIONS)
    assert conformed.types[column] == seen
    assert conformed.usable == frozenset(INTERACTIONS.names) - {column}


def test_conform_reports_an_integer_when_the_type_of_the_contract_cannot_hold_it() -> None:
    schema = pa.schema([pa.field("position", pa.int32(), nullable=False)])
    conformed = conform(pa.table({"position": pa.array([2**40])}), schema)
    assert conformed.types == {"position": "int64"}
    assert conform(pa.table({"position": pa.array([7])}), schema).types == {"position": "int32"}


def test_conform_fills_nullable_columns_and_names_the_others_when_columns_differ() -> None:
    conformed = conform(TABLE.drop_columns(["rating", "user_id"]).append_column("day", TABLE["surface"]), INTERACTIONS)
    assert conformed.added == ("rating",)
    assert conformed.table["rating"].null_count == 3
    assert conformed.further == ("day",)
    assert "user_id" not in conformed.types
    assert conformed.table.column_names[-1] == "day"


def test_conform_takes_a_null_typed_column_when_it_is_nullable() -> None:
    conformed = conform(with_column(TABLE, "rating", pa.nulls(3)), INTERACTIONS)
    assert "rating" in conformed.usable


def test_conform_reports_a_name_when_two_columns_have_it() -> None:
    table = pa.Table.from_arrays([*TABLE.columns, TABLE["item_id"]], names=[*TABLE.column_names, "item_id"])
    conformed = conform(table, INTERACTIONS)
    assert conformed.types["item_id"] == "given twice"
    assert "item_id" not in conformed.usable


def test_conform_answers_when_there_are_no_columns() -> None:
    conformed = conform(pa.table({}), OUTCOMES)
    assert conformed.usable == frozenset()
    assert conformed.types == {}
