"""Data with a published split: which user acted on which item, and whether for training, validation or test.

There is neither time nor order, so that the part stands in for both: all events of training are at the first second of
1970, those of validation a day later, those of test two days later. A split by time at these days gives the published
parts back.
"""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import normalise
from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID, Tables
from recmodels.data.sources._files import (
    SourceOptions,
    listing,
    parse_options,
    read_any,
    require_columns,
    require_path,
    require_rows,
)
from recmodels.errors import SourceError

PARTS: Final = ("train", "valid", "test")
VALIDATION_FROM: Final = "1970-01-02"
"""`split.validation_from` that gives the published parts back."""
TEST_FROM: Final = "1970-01-03"
"""`split.test_from` that does."""
_NAME = "parts"
_FILE = "interactions.csv.gz"
_DAY = 86_400_000_000


class Options(SourceOptions):
    """Names of the columns."""

    user: str = "user"
    """Column of the user."""
    item: str = "item"
    """Column of the item."""
    part: str = "split"
    """Column of the part: train, valid or test."""


def read(path: Path, **options: object) -> Tables:
    """Read data with a published split.

    Args:
        path: A CSV file (it may end in .gz) or a Parquet file, or a folder with `interactions.csv.gz`.
        options: See `Options`.

    Returns:
        Tables whose timestamps are the parts, a day each. Recipes need split.validation_from=1970-01-02 and
        split.test_from=1970-01-03.

    Raises:
        SourceError: The file is missing, empty or damaged, a column is missing, a part is unknown, or an option is.
    """
    chosen = parse_options(Options, options, source=_NAME)
    file = _the_file(require_path(path, source=_NAME))
    table = require_rows(read_any(file, source=_NAME), place=file.name, source=_NAME)
    table = require_columns(table, [chosen.user, chosen.item, chosen.part], place=file.name, source=_NAME)
    number = pc.index_in(table[chosen.part].cast(pa.string()), value_set=pa.array(PARTS))
    if number.null_count:
        strange = table[chosen.part].filter(pc.is_null(number))[0].as_py()
        raise SourceError(
            f"source {_NAME!r}: {file.name} has {number.null_count} rows whose {chosen.part!r} is none of "
            f"{', '.join(PARTS)}, first {strange!r}. Correct them, or name the column with part=COLUMN."
        )
    moments = pc.multiply(number.cast(pa.int64()), _DAY).cast(pa.timestamp("us"))
    rows = pa.table({USER_ID: table[chosen.user], ITEM_ID: table[chosen.item], TIMESTAMP: moments})
    interactions = normalise(rows, source=f"{_NAME} {file.name}")
    return Tables(
        name=file.parent.name or _NAME,
        interactions=interactions,
        items=normalise_items(None, interactions, source=_NAME),
        users=normalise_users(None, interactions, source=_NAME),
        notes=(
            "timestamps are the published parts, a day each from 1970-01-01 on: within a part there is no order",
            f"split.validation_from={VALIDATION_FROM} and split.test_from={TEST_FROM} give the published split",
        ),
    )


def _the_file(path: Path) -> Path:
    if path.is_file():
        return path
    if (path / _FILE).is_file():
        return path / _FILE
    raise SourceError(
        f"source {_NAME!r}: {path} is a folder without {_FILE}; it holds {listing(path)}. Give the path of the file."
    )
