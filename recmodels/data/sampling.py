"""A share of the users of a data set, always the same ones, for a quick look or a test."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.assignment import BUCKETS, bucket_of
from recmodels.data.schema import USER_ID, Tables

_SALT = "sample"


def sample_users(tables: Tables, *, share: float) -> Tables:
    """Keep `share` of the users, chosen by a fixed hash of their id, with all of their interactions; and every item.

    Raises:
        ValueError: The share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share!r} is not above 0 and at most 1.")
    if share == 1:
        return tables
    kept = _kept(tables.users[USER_ID], share)
    return replace(
        tables,
        interactions=tables.interactions.filter(pc.is_in(tables.interactions[USER_ID], value_set=kept)),
        users=tables.users.filter(pc.is_in(tables.users[USER_ID], value_set=kept)),
        notes=(*tables.notes, f"only {share:.0%} of the users, by a hash of their id"),
    )


def _kept(user_ids: pa.ChunkedArray, share: float) -> pa.Array:
    names = pc.unique(user_ids).drop_null()
    buckets = np.array([bucket_of(name, salt=_SALT) for name in names.to_pylist()])
    return names.filter(pa.array(buckets < share * BUCKETS))
