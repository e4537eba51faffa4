"""The demo's shift: the last days once more, as the days after them, with a fault in them."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.references import Snapshot
from flows.wiring import Platform
from recmodels.data.faults import push_item
from recmodels.data.schema import ITEM_ID, ORIGIN, ORIGIN_REPLAY, TIMESTAMP, TIMESTAMP_TYPE

_DAYS = 7
_SHARE = 0.3
_SEED = 11


def shift_traffic(home: Platform, snapshot: Snapshot) -> Path:
    """Write replayed days in which a share of all events falls on one item, as a bought campaign does.

    The rows carry origin ``replay``; they go to a file for the monitor and never into the lake.

    Returns:
        Path of the Parquet file, in the schema `INTERACTIONS`.
    """
    period = timedelta(days=_DAYS)
    last = home.lake.read("interactions", start=snapshot.as_of - period)
    moved = pc.add(last[TIMESTAMP], pa.scalar(period, pa.duration("us"))).cast(TIMESTAMP_TYPE)
    rows = last.set_column(last.column_names.index(TIMESTAMP), TIMESTAMP, moved)
    rows = rows.set_column(rows.column_names.index(ORIGIN), ORIGIN, pa.repeat(ORIGIN_REPLAY, rows.num_rows))
    rare = pc.value_counts(last[ITEM_ID]).sort(order="ascending", by="counts")[0]["values"].as_py()
    path = home.settings.root / "shifted.parquet"
    pq.write_table(push_item(rows, rare, share=_SHARE, seed=_SEED), path)
    return path
