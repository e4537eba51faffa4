"""Items and users in the contract's form: one row an id, and a row for every id that the interactions name."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.columns import as_schema_column
from recmodels.data.interactions import connect
from recmodels.data.schema import ITEM_ID, ITEMS, SAFETY, UNLABELLED, USER_ID, USERS
from recmodels.errors import DataError


def normalise_items(table: pa.Table | None, interactions: pa.Table, *, source: str) -> pa.Table:
    """Bring item rows into the schema `ITEMS`.

    Args:
        table: Columns named as in the contract, `item_id` among them; None where a data set describes no item.
        interactions: Rows in the schema `INTERACTIONS`; an item that only they name gets a row without features.
        source: Where the rows come from, for messages.

    Returns:
        One row an item: of repeated ids the first; `safety` is ``unlabelled`` where it is not given.

    Raises:
        DataError: The id is missing, a column is unknown, or a value does not convert.
    """
    rows = pa.table({ITEM_ID: pa.array([], pa.string())}) if table is None else table
    known = _converted(rows, ITEMS, key=ITEM_ID, source=source)
    whole = _with_missing_ids(known, interactions[ITEM_ID], key=ITEM_ID)
    safety = pc.fill_null(whole[SAFETY], UNLABELLED)
    return whole.set_column(ITEMS.get_field_index(SAFETY), SAFETY, safety).cast(ITEMS)


def normalise_users(table: pa.Table | None, interactions: pa.Table, *, source: str) -> pa.Table:
    """Bring user rows into the schema `USERS`, with every other column as a string attribute.

    Args:
        table: `user_id`, perhaps `signed_up_at`, and attributes; None where a data set describes no user.
        interactions: Rows in the schema `INTERACTIONS`; a user that only they name gets a row without attributes.
        source: Where the rows come from, for messages.

    Returns:
        One row a user: of repeated ids the first.

    Raises:
        DataError: The id is missing, or a value does not convert.
    """
    rows = pa.table({USER_ID: pa.array([], pa.string())}) if table is None else table
    attributes = [pa.field(name, pa.string()) for name in rows.column_names if name not in USERS.names]
    schema = pa.schema([*USERS, *attributes])
    known = _converted(rows, schema, key=USER_ID, source=source)
    return _with_missing_ids(known, interactions[USER_ID], key=USER_ID).cast(schema)


def changed_items(held: pa.Table, items: pa.Table) -> pa.Table:
    """Return the rows of `items` that `held` does not have, or has with other facts; sorted by id.

    Args:
        held: Rows in the schema `ITEMS`.
        items: Rows in the schema `ITEMS`.
    """
    names = ", ".join(ITEMS.names)
    query = f"SELECT {names} FROM items EXCEPT SELECT {names} FROM held ORDER BY {ITEM_ID}"  # noqa: S608 - the contract
    with connect() as connection:
        connection.register("held", held)
        connection.register("items", items)
        return connection.sql(query).to_arrow_table().cast(ITEMS)


def _converted(table: pa.Table, schema: pa.Schema, *, key: str, source: str) -> pa.Table:
    if key not in table.column_names:
        raise DataError(f"{source}: column {key!r} is missing; the columns are {table.column_names}. Map one to it.")
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise DataError(
            f"{source}: column {unknown[0]!r} is not part of the contract. Leave it out or map it to one of: "
            f"{', '.join(schema.names)}."
        )
    columns = [
        as_schema_column(table[field.name], field, source=source)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return _first_of_each(pa.table(columns, names=schema.names), key=key)


def _first_of_each(table: pa.Table, *, key: str) -> pa.Table:
    rows = table.select([key]).append_column("_row", pa.array(np.arange(table.num_rows)))
    first = rows.group_by(key).aggregate([("_row", "min")])
    first = first.filter(pc.is_valid(first[key]))
    return table.take(pa.array(np.sort(first["_row_min"].to_numpy())))


def _with_missing_ids(table: pa.Table, ids: pa.ChunkedArray, *, key: str) -> pa.Table:
    distinct = pc.unique(ids).drop_null()
    absent = distinct.filter(pc.invert(pc.is_in(distinct, value_set=table[key].combine_chunks())))
    if not len(absent):
        return table
    bare = [absent if field.name == key else pa.nulls(len(absent), field.type) for field in table.schema]
    return pa.concat_tables([table, pa.table(bare, schema=table.schema)]).combine_chunks()
