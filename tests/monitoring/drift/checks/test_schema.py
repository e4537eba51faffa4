import pyarrow as pa
import pytest

from monitoring.drift.checks.schema import Config, check, differences
from monitoring.result import Status

REFERENCE = pa.table({"a": pa.array([1, 2], pa.int64()), "b": pa.array(["x", None])})


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (REFERENCE, []),
        (REFERENCE.slice(0, 0), []),
        (REFERENCE.drop_columns(["a"]), ["column a (int64) is gone"]),
        (REFERENCE.append_column("c", [[True, False]]), ["column c (bool) is new"]),
        (REFERENCE.set_column(0, "a", [[1.5, 2.5]]), ["column a was int64 and is double"]),
        (REFERENCE.slice(1), ["column b is null in every row"]),
        (REFERENCE.rename_columns(["a", "c"]), ["column b (string) is gone", "column c (string) is new"]),
    ],
)
def test_every_difference_is_named(current, expected):
    assert differences(REFERENCE, current) == expected


def test_new_column_is_no_difference_when_it_is_allowed():
    current = REFERENCE.append_column("c", [[True, False]])
    assert check(REFERENCE, current, items=REFERENCE, config=Config(allow_new_columns=True))[0].status is Status.OK
    result = check(REFERENCE, current, items=REFERENCE, config=Config())[0]
    assert (result.status, result.value, result.family) == (Status.DRIFT, 1.0, "data")
    assert "schema changed: column c (bool) is new" in result.message
