"""Whether a table has the columns and types of the contract, and the table as the contract wants it."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Conformed:
    """A table brought to the types of the contract as far as that loses nothing.

    Attributes:
        table: The same rows: columns of the contract first and in its order, then the others. A column that does not
            conform keeps its type; nullable columns that were missing are there, filled with null.
        types: Type of each column of the contract that was given, as text: the contract's own where it conforms, and
            ``"given twice"`` where its name is not one column's alone.
        wanted: Type of each column of the contract, as text.
        added: Nullable columns that were not given.
        further: Given columns that the contract does not know.
    """

    table: pa.Table
    types: dict[str, str]
    wanted: dict[str, str]
    added: tuple[str, ...]
    further: tuple[str, ...]

    @property
    def usable(self) -> frozenset[str]:
        """Columns of the contract that rules can be judged on."""
        return frozenset(name for name, kind in self.types.items() if kind == self.wanted[name])


def conform(table: pa.Table, schema: pa.Schema) -> Conformed:
    """Bring a table to a schema: equal families are cast, and whatever cannot be cast without loss is reported."""
    columns: dict[str, pa.ChunkedArray] = {}
    types: dict[str, str] = {}
    added = tuple(f.name for f in schema if f.nullable and f.name not in table.column_names)
    for field in schema:
        if field.name in added:
            columns[field.name] = pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        elif field.name in table.column_names:
            column = _cast(_first(table, field.name), field)
            columns[field.name] = column
            types[field.name] = str(column.type) if table.column_names.count(field.name) == 1 else "given twice"
    further = tuple(dict.fromkeys(name for name in table.column_names if name not in schema.names))
    for name in further:
        columns[name] = _first(table, name)
    return Conformed(
        table=pa.table(columns),
        types=types,
        wanted={field.name: str(field.type) for field in schema},
        added=added,
        further=further,
    )


def _first(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table.column(table.column_names.index(name))


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type == field.type or not _is_same_family(column.type, field):
        return column
    try:
        return column.cast(field.type, safe=not pa.types.is_timestamp(field.type))
    except pa.ArrowInvalid:  # a number that the type of the contract cannot hold: reported as the wrong type
        return column


def _is_same_family(kind: pa.DataType, field: pa.Field) -> bool:
    target = field.type
    if pa.types.is_null(kind):
        return bool(field.nullable)
    if pa.types.is_dictionary(kind):
        return _is_same_family(kind.value_type, field) or kind.value_type == target
    if pa.types.is_string(target):
        return bool(pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
    if pa.types.is_timestamp(target):
        return bool(pa.types.is_timestamp(kind) and kind.tz is not None)
    if pa.types.is_integer(target):
        return bool(pa.types.is_integer(kind))
    return bool(pa.types.is_floating(target) and (pa.types.is_floating(kind) or pa.types.is_integer(kind)))
