from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from recmodels.data.columns import as_number, as_schema_column, convert_column
from recmodels.data.schema import INTERACTIONS
from recmodels.errors import DataError


def converted(values: list[object], name: str, kind: pa.DataType | None = None) -> list[object]:
    column = pa.chunked_array([pa.array(values, kind)])
    return as_schema_column(column, INTERACTIONS.field(name), source="test").to_pylist()


@pytest.mark.parametrize(
    ("name", "values", "kind", "expected"),
    [
        ("user_id", [7, None], pa.int64(), ["7", None]),
        ("user_id", ["a"], pa.dictionary(pa.int8(), pa.string()), ["a"]),
        ("user_id", ["a"], pa.large_string(), ["a"]),
        ("rating", ["3.5", None], pa.string(), [3.5, None]),
        ("rating", [4], pa.int8(), [4.0]),
        ("clicked", [1, 0, None], pa.int64(), [True, False, None]),
        ("clicked", [1.0, 0.0], pa.float64(), [True, False]),
        ("clicked", ["true", "0", None], pa.string(), [True, False, None]),
        ("query", [None, None], pa.null(), [None, None]),
        ("timestamp", ["2024-03-01", "2024-03-01T02:00+02:00"], pa.string(), [datetime(2024, 3, 1, tzinfo=UTC)] * 2),
        ("timestamp", [date(2024, 3, 1)], pa.date32(), [datetime(2024, 3, 1, tzinfo=UTC)]),
        ("timestamp", [datetime(2024, 3, 1, 5)], pa.timestamp("ns"), [datetime(2024, 3, 1, 5, tzinfo=UTC)]),
    ],
)
def test_values_convert_when_nothing_is_lost(
    name: str, values: list[object], kind: pa.DataType, expected: list[object]
) -> None:
    assert converted(values, name, kind) == expected


def test_zoned_timestamps_become_utc() -> None:
    column = pa.array(["2024-03-01T05:00:00+02:00"]).cast(pa.timestamp("ms", tz="Europe/Kyiv"))
    found = as_schema_column(pa.chunked_array([column]), INTERACTIONS.field("timestamp"), source="test")
    assert found.to_pylist() == [datetime(2024, 3, 1, 3, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("name", "values", "kind", "message"),
    [
        ("rating", ["3", "many", "few"], pa.string(), r"test: column 'rating' holds 'many' at data row 2"),
        ("clicked", [1, 1, 2], pa.int64(), r"column 'clicked' holds 2 at data row 3"),
        ("clicked", ["perhaps"], pa.string(), r"column 'clicked' holds 'perhaps' at data row 1"),
        ("user_id", [1.0], pa.float64(), r"ids must be text or whole numbers"),
        ("timestamp", [17], pa.int64(), r"expected timestamps or ISO 8601 text.*seconds, milliseconds or micro"),
        ("timestamp", ["2024-01-01", "soon"], pa.string(), r"holds 'soon' at data row 2; expected ISO 8601"),
        ("rating", [b"x"], pa.binary(), r"column 'rating'"),
    ],
)
def test_the_place_is_named_when_a_value_does_not_convert(
    name: str, values: list[object], kind: pa.DataType, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        converted(values, name, kind)


@pytest.mark.parametrize("bad", [0, 1, 4999, 9999])
def test_the_first_bad_row_is_found_wherever_it_stands(bad: int) -> None:
    values = ["1"] * 10_000
    values[bad] = "x"
    values[9_999] = "x"
    with pytest.raises(DataError, match=f"data row {bad + 1};"):
        as_number(pa.chunked_array([values[:70], values[70:]]), pa.int64(), name="n", source="test")


def test_the_expected_form_is_named_when_it_is_known() -> None:
    with pytest.raises(DataError, match="holds 'x' at data row 1; expected one word"):
        convert_column(
            pa.chunked_array([["x"]]),
            lambda column: column.cast(pa.int64()),
            name="n",
            source="test",
            expected="one word",
        )
