"""Small tables of the contract, written as rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.interactions import normalise
from recmodels.data.schema import ITEM_ID, ITEMS, SAFETY

Row = tuple[str, str, int]


def interactions(rows: Sequence[Row], **columns: Sequence[object]) -> pa.Table:
    """Rows of (user, item, second), and further columns by name."""
    users, items, seconds = zip(*rows, strict=True) if rows else ((), (), ())
    moments = pa.array(np.array(seconds, dtype=np.int64) * 1_000_000).cast(pa.timestamp("us"))
    table = {"user_id": pa.array(users, pa.string()), "item_id": pa.array(items, pa.string()), "timestamp": moments}
    return normalise(pa.table(table | {name: pa.array(list(v)) for name, v in columns.items()}), source="test")


def items_of(table: pa.Table) -> pa.Table:
    """A row without features for every item."""
    ids = pc.unique(table[ITEM_ID])
    columns = [
        ids
        if field.name == ITEM_ID
        else pa.repeat(pa.scalar("ok" if field.name == SAFETY else None, field.type), len(ids))
        for field in ITEMS
    ]
    return pa.table(columns, schema=ITEMS)
