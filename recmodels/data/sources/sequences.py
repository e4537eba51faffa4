"""Order-only data: what each user did, in order, without times. The position counts as seconds since 1970."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.columns import as_number
from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import normalise
from recmodels.data.schema import CATEGORY, CREATOR_ID, ITEM_ID, RATING, TEXT, TIMESTAMP, USER_ID, Tables
from recmodels.data.sources._files import (
    SourceOptions,
    listing,
    parse_options,
    read_any,
    read_bytes,
    require_columns,
    require_path,
    require_rows,
)
from recmodels.errors import SourceError

_NAME = "sequences"
_POSITION = "position"
_USER_NAMES = ("user_id", "user", "userid", "uid")
_ITEM_NAMES = ("item_id", "item", "itemid", "movie_id", "movie", "movieid", "video_id", "video", "iid")
_POSITION_NAMES = ("position", "pos", "order", "rank", "index")
_TEXT_NAMES = ("text", "title", "name")
_OPTIONAL = {RATING: ("rating",)}
_COLUMNAR = (".parquet", ".csv")
_LINES = (".txt", ".tsv", ".dat", ".inter")


class Options(SourceOptions):
    """Names of the columns, where they are not recognised, and a file that describes the items."""

    user: str | None = None
    """Column of the user."""
    position: str | None = None
    """Column of the position within the user's events: whole numbers, in any order of rows."""
    item: str | None = None
    """Column of the item."""
    items: Path | None = None
    """CSV, TSV or Parquet file with an item column and, where it has them, text (or title), category, creator_id."""


def read(path: Path, **options: object) -> Tables:
    """Read order-only data.

    Args:
        path: A text file with one user and their items, oldest first, a line (spaces or tabs between them); or a CSV
            or Parquet file with user, position and item columns; or a folder that holds one such file.
        options: See `Options`.

    Returns:
        Tables marked `is_order_only`; the n-th event of a user, from 0, has the timestamp n seconds after 1970.

    Raises:
        SourceError: The file is missing, empty, damaged or ambiguous, a column is missing, a user stands on two lines
            or has no item, two events have one position, or an option is unknown.
        DataError: A position is not a whole number.
    """
    chosen = parse_options(Options, options, source=_NAME)
    file = _the_file(require_path(path, source=_NAME))
    rows = _columns(file, chosen) if file.suffix.lower() in _COLUMNAR else _lines(file)
    interactions = normalise(rows, source=f"{_NAME} {file.name}")
    items = _items(chosen.items) if chosen.items else None
    return Tables(
        name=file.stem,
        interactions=interactions,
        items=normalise_items(items, interactions, source=f"{_NAME} {chosen.items}"),
        users=normalise_users(None, interactions, source=_NAME),
        is_order_only=True,
        notes=("the position within a user's events counts as seconds since 1970: an order, not a time",),
    )


def _the_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    for endings in ((".parquet",), (".tsv",)):
        found = [file for file in files if file.suffix.lower() in endings]
        if len(found) == 1:
            return found[0]
    raise SourceError(
        f"source {_NAME!r}: {path} is a folder without exactly one Parquet or TSV file; it holds {listing(path)}. "
        f"Give the path of the file itself."
    )


def _lines(file: Path) -> pa.Table:
    if file.suffix.lower() not in _LINES:
        raise SourceError(
            f"source {_NAME!r}: {file.name} has the ending {file.suffix!r}; expected one of "
            f"{', '.join((*_LINES, *_COLUMNAR))}."
        )
    content = read_bytes(file, source=_NAME)
    try:
        text = pa.array(content.decode("utf-8").splitlines(), type=pa.string())
    except UnicodeDecodeError as error:
        raise SourceError(f"source {_NAME!r}: {file.name} is not UTF-8 text ({error}). Convert it to UTF-8.") from error
    numbers = np.flatnonzero(pc.not_equal(pc.utf8_trim_whitespace(text), "").to_numpy(zero_copy_only=False))
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text.take(pa.array(numbers))))
    lengths = pc.list_value_length(words).to_numpy().astype(np.int64)
    users = pc.list_element(words, 0)
    _check_lines(users, lengths, numbers, place=file.name)
    starts = np.cumsum(lengths) - lengths
    is_item = np.ones(int(lengths.sum()), dtype=np.bool_)
    is_item[starts] = False
    position = np.arange(len(is_item)) - np.repeat(starts, lengths) - 1
    owners = np.repeat(np.arange(len(users)), lengths)
    return pa.table(
        {
            USER_ID: users.take(pa.array(owners[is_item])),
            ITEM_ID: pc.list_flatten(words).filter(pa.array(is_item)),
            TIMESTAMP: _as_times(position[is_item]),
        }
    )


def _check_lines(users: pa.Array, lengths: np.ndarray, numbers: np.ndarray, *, place: str) -> None:
    if (lengths < 2).any():
        line = int(numbers[np.argmax(lengths < 2)]) + 1
        raise SourceError(
            f"source {_NAME!r}: line {line} of {place} holds one word. Expected a user and at least one item; "
            f"remove the line or add the items."
        )
    counts = pc.value_counts(users)
    if len(counts) < len(users):
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        raise SourceError(
            f"source {_NAME!r}: {len(twice)} users stand on more than one line of {place}, first {twice[0].as_py()!r}, "
            f"so the order of their items is not known. Join each user's lines into one."
        )


def _columns(file: Path, options: Options) -> pa.Table:
    table = require_rows(read_any(file, source=_NAME), place=file.name, source=_NAME)
    names = {
        USER_ID: _column(table, options.user, _USER_NAMES, option="user", place=file.name),
        _POSITION: _column(table, options.position, _POSITION_NAMES, option="position", place=file.name),
        ITEM_ID: _column(table, options.item, _ITEM_NAMES, option="item", place=file.name),
    }
    names |= {column: name for column, known in _OPTIONAL.items() for name in table.column_names if name in known}
    rows = require_columns(table, list(names.values()), place=file.name, source=_NAME).rename_columns(list(names))
    place = f"{_NAME} {file.name}"
    position = as_number(rows[_POSITION], pa.int64(), name=names[_POSITION], source=place)
    rows = rows.set_column(1, _POSITION, position)
    return _ranked(rows, place=file.name)


def _column(table: pa.Table, given: str | None, known: tuple[str, ...], *, option: str, place: str) -> str:
    if given is not None:
        require_columns(table, [given], place=place, source=_NAME)
        return given
    found = [name for name in table.column_names if name.lower() in known]
    if found:
        return str(found[0])
    raise SourceError(
        f"source {_NAME!r}: {place} has columns {', '.join(table.column_names)}, none of which is known as {option} "
        f"({', '.join(known)}). Name it with the option {option}=COLUMN."
    )


def _ranked(rows: pa.Table, *, place: str) -> pa.Table:
    """Replace positions by ranks from 0 within each user, so that gaps and other first numbers do not matter."""
    rows = rows.sort_by([(USER_ID, "ascending"), (_POSITION, "ascending")]).combine_chunks()
    if rows[_POSITION].null_count:
        raise SourceError(f"source {_NAME!r}: {place} has {rows[_POSITION].null_count} rows without a position.")
    is_first = np.ones(rows.num_rows, dtype=np.bool_)
    owners = rows[USER_ID].combine_chunks()
    codes = pc.fill_null(owners.dictionary_encode().indices, -1).to_numpy()
    is_first[1:] = np.diff(codes) != 0
    is_tied = (np.diff(rows[_POSITION].to_numpy()) == 0) & ~is_first[1:]
    if is_tied.any():
        row = int(np.argmax(is_tied))
        raise SourceError(
            f"source {_NAME!r}: {place} gives user {owners[row].as_py()!r} two events at position "
            f"{rows[_POSITION][row].as_py()}; {int(is_tied.sum())} events are tied. Positions must differ "
            f"within a user."
        )
    starts = np.flatnonzero(is_first)
    ranks = np.arange(rows.num_rows) - np.repeat(starts, np.diff(np.append(starts, rows.num_rows)))
    return rows.drop_columns([_POSITION]).append_column(TIMESTAMP, _as_times(ranks))


def _as_times(seconds: np.ndarray) -> pa.Array:
    return pa.array(seconds.astype(np.int64) * 1_000_000).cast(pa.timestamp("us"))


def _items(file: Path) -> pa.Table:
    table = read_any(require_path(file, source=_NAME), source=_NAME)
    names = {ITEM_ID: _column(table, None, _ITEM_NAMES, option="item", place=file.name)}
    known = {TEXT: _TEXT_NAMES, CATEGORY: ("category", "genres"), CREATOR_ID: ("creator_id", "author_id")}
    for column, candidates in known.items():
        found = [name for name in table.column_names if name.lower() in candidates]
        names |= {column: found[0]} if found else {}
    return table.select(list(names.values())).rename_columns(list(names))
