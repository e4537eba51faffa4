"""What ingest brings of items reaches the gateways at once: new ones are served, and new safety labels hold."""

import pyarrow as pa
import pyarrow.compute as pc

from flows.clock import utc_now
from flows.wiring import Platform
from infra.segments import MAX_ITEMS
from recmodels.data.entities import changed_items
from recmodels.data.schema import SAFETY


def announce(home: Platform, items: pa.Table, *, by: str) -> None:
    """Append to the segment what is new or different in `items`; call it before the lake has them, for retries.

    A home without a champion serves nothing yet, and its first model will know them all. Of more items than a segment
    serves, those that are blocked go first.

    Args:
        home: The stores.
        items: Rows in the schema `ITEMS`.
        by: Who brings them.
    """
    if home.rollouts.champion() is None or home.lake.version("items") is None:
        return
    changed = changed_items(home.lake.read("items"), items)
    is_blocked = pc.equal(changed[SAFETY], "blocked")
    others = changed.filter(pc.invert(is_blocked)).slice(0, MAX_ITEMS)
    home.segments.append(pa.concat_tables([changed.filter(is_blocked), others]), by=by, now=utc_now())
