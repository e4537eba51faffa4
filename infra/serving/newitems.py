"""New items as they are sent, in the schema that stores and models read."""

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from infra.serving.schemas import NewItem
from recmodels.data.schema import ITEMS


def items_table(items: Sequence[NewItem]) -> pa.Table:
    """Return rows in the schema `ITEMS`."""
    return pa.Table.from_pylist([msgspec.structs.asdict(item) for item in items], schema=ITEMS)
