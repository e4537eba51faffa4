"""Any Parquet or CSV files: a mapping says which of their columns is which of the contract's."""

from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from recmodels.data.columns import as_number, convert_column, from_iso
from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import normalise, window
from recmodels.data.schema import INTERACTIONS, ITEMS, TIMESTAMP, USERS, Tables
from recmodels.data.sources._files import (
    SourceOptions,
    listing,
    parse_options,
    read_any,
    read_toml,
    require_columns,
    require_path,
    require_rows,
)
from recmodels.errors import SourceError

_NAME = "table"
_ENDINGS = (".parquet", ".csv", ".tsv")
_PER_SECOND = {"s": 1_000_000, "ms": 1_000, "us": 1}
_WILDCARDS = frozenset("*?[")
_EMPTY = ["", "nan", "NaN", "null", "NULL"]


class Options(SourceOptions):
    """How the files' columns become the contract's."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Contract column -> file column; a column that is named as in the contract needs no entry."""
    timestamp_unit: Literal["s", "ms", "us", "iso"] | None = None
    """What the timestamps are: numbers since 1970 UTC or ISO 8601 text. Not needed where the file has timestamps."""
    items: Path | None = None
    """File of the items."""
    item_columns: dict[str, str] = Field(default_factory=dict)
    """Contract column -> file column of the items' file."""
    users: Path | None = None
    """File of the users."""
    user_columns: dict[str, str] = Field(default_factory=dict)
    """Contract column -> file column of the users' file; other columns of theirs become attributes."""
    start: datetime | None = None
    """Only interactions from this moment on (UTC)."""
    end: datetime | None = None
    """Only interactions before this moment (UTC)."""
    name: str | None = None
    """Name of the data set; the file's or folder's otherwise."""

    @field_validator("columns", "item_columns", "user_columns", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        """Accept ``"user_id=uid,item_id=iid"`` and ``["user_id=uid", "item_id=iid"]``, as a command line gives them."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            return value
        pairs = [str(part).partition("=") for part in parts]
        wrong = [name for name, sign, file_name in pairs if not (name and sign and file_name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is not of the form CONTRACT_COLUMN=FILE_COLUMN")
        return {name.strip(): file_name.strip() for name, _, file_name in pairs}


def read(path: Path, **options: object) -> Tables:
    """Read interactions from Parquet, CSV or TSV files.

    Args:
        path: One file, a folder (all its Parquet, CSV and TSV files), or a pattern such as ``events/*.parquet``.
        options: See `Options`; ``config=FILE`` names a TOML file with the same options, which those given here win
            over. Paths in the TOML file are relative to it.

    Raises:
        SourceError: A file is missing, empty or damaged, a mapped column is missing, or an option is unknown or wrong.
        DataError: A value does not convert, a timestamp is null, or no row lies between `start` and `end`.
    """
    chosen = parse_options(Options, _with_config(options), source=_NAME)
    _check_mapping(chosen.columns, INTERACTIONS.names, option="columns")
    files = _files(path, except_for={chosen.items, chosen.users})
    parts = [_interactions(file, chosen) for file in files]
    whole = require_rows(pa.concat_tables(parts), place=str(path), source=_NAME)
    interactions = whole if chosen.start is chosen.end is None else window(whole, start=chosen.start, end=chosen.end)
    mapped = ", ".join(f"{file_name} -> {name}" for name, file_name in chosen.columns.items())
    return Tables(
        name=chosen.name or (path.stem if path.is_file() else path.parent.name if _is_pattern(path) else path.name),
        interactions=interactions,
        items=_items(chosen, interactions),
        users=_users(chosen, interactions),
        notes=tuple(note for note in (mapped, f"{len(files)} files") if note),
    )


def _with_config(options: dict[str, object]) -> dict[str, object]:
    if "config" not in options:
        return options
    given = {name: value for name, value in options.items() if name != "config"}
    file = Path(str(options["config"]))
    written = read_toml(file, source=_NAME)
    for name in ("items", "users"):
        if isinstance(written.get(name), str):
            written[name] = str(file.parent / str(written[name]))
    return written | given


def _check_mapping(mapping: dict[str, str], known: list[str], *, option: str) -> None:
    unknown = [name for name in mapping if name not in known]
    if unknown:
        raise SourceError(
            f"source {_NAME!r}: option {option!r} maps {mapping[unknown[0]]!r} to {unknown[0]!r}, which is no column "
            f"of the contract. Write CONTRACT_COLUMN=FILE_COLUMN with one of: {', '.join(known)}."
        )


def _is_pattern(path: Path) -> bool:
    return bool(_WILDCARDS & set(str(path))) and not path.exists()


def _files(path: Path, *, except_for: set[Path | None]) -> list[Path]:
    if _is_pattern(path):
        root = Path(path.anchor or ".")
        found = sorted(file for file in root.glob(str(path.relative_to(path.anchor))) if file.is_file())
        if not found:
            raise SourceError(f"source {_NAME!r}: no file matches {str(path)!r}. Correct the pattern.")
    elif require_path(path, source=_NAME).is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in _ENDINGS)
        if not found:
            raise SourceError(
                f"source {_NAME!r}: {path} holds no file ending in {', '.join(_ENDINGS)}; found: {listing(path)}."
            )
    else:
        found = [path]
    described = {file.resolve() for file in except_for if file is not None}
    return [file for file in found if file.resolve() not in described]


def _interactions(file: Path, options: Options) -> pa.Table:
    place = f"{_NAME} {file.name}"
    table = _mapped(read_any(file, source=_NAME), options.columns, INTERACTIONS.names, place=file.name)
    if TIMESTAMP in table.column_names:
        moments = _moments(table[TIMESTAMP], options.timestamp_unit, place=place)
        table = table.set_column(table.column_names.index(TIMESTAMP), TIMESTAMP, moments)
    return normalise(table, source=place)


def _mapped(table: pa.Table, mapping: dict[str, str], known: list[str], *, place: str) -> pa.Table:
    """Choose and rename the mapped columns and those named as in the contract; others are not read."""
    require_columns(table, list(mapping.values()), place=place, source=_NAME)
    names = {name: name for name in table.column_names if name in known} | mapping
    chosen = {name: table[names[name]] for name in known if name in names}
    texts = {name: _without_empty(column) for name, column in chosen.items() if pa.types.is_string(column.type)}
    return pa.table(chosen | texts)


def _without_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_in(column, value_set=pa.array(_EMPTY)), pa.scalar(None, pa.string()), column)


def _moments(column: pa.ChunkedArray, unit: str | None, *, place: str) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column
    if not len(column):
        return column.cast(pa.timestamp("us"))
    if unit is None:
        raise SourceError(
            f"source {_NAME!r}: the timestamps of {place} are of type {column.type}, first {column[0].as_py()!r}. "
            f"Say what they are with the option timestamp_unit=s, ms, us or iso."
        )
    if unit == "iso":
        return from_iso(column, name=TIMESTAMP, source=place)
    factor = _PER_SECOND[unit]
    kind = pa.float64() if pa.types.is_floating(column.type) else pa.int64()
    numbers = as_number(column, kind, name=TIMESTAMP, source=place)
    scaled = convert_column(
        numbers,
        lambda values: pc.round(pc.multiply(values, factor)).cast(pa.int64()),
        name=TIMESTAMP,
        source=place,
        expected="a number",
    )
    return scaled.cast(pa.timestamp("us"))


def _items(options: Options, interactions: pa.Table) -> pa.Table:
    _check_mapping(options.item_columns, ITEMS.names, option="item_columns")
    table = None
    if options.items is not None:
        found = read_any(options.items, source=_NAME)
        table = _mapped(found, options.item_columns, ITEMS.names, place=options.items.name)
    return normalise_items(table, interactions, source=f"{_NAME} items")


def _users(options: Options, interactions: pa.Table) -> pa.Table:
    table = None
    if options.users is not None:
        found = read_any(options.users, source=_NAME)
        mapped = set(options.user_columns.values())
        attributes = [name for name in found.column_names if name not in mapped]
        known = dict.fromkeys([*USERS.names, *options.user_columns, *attributes])
        table = _mapped(found, options.user_columns, list(known), place=options.users.name)
    return normalise_users(table, interactions, source=f"{_NAME} users")
