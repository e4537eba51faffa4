"""Slices: the parts of an evaluation that an average could hide, each judged on its own queries or its own targets."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.cuts import as_microseconds
from recmodels.data.histories import Histories
from recmodels.data.schema import SIGNED_UP_AT, USER_ID
from recmodels.data.splits import Queries
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.errors import DataError
from recmodels.lineage import OLDER_USERS

HEAD_SHARE: Final = 0.2
"""The head is this share of the catalogue, most interactions first."""


@dataclass(frozen=True, eq=False)
class Slice:
    """A part of the queries.

    Attributes:
        name: ``kind=value``, such as ``"user=new"``.
        rows: ``(q,)`` numbers of the queries that belong to it.
        targets: ``(q,)`` rows of targets; an item slice keeps only its own.
    """

    name: str
    rows: NDArray[np.int64]
    targets: Histories


def slices_of(
    queries: Queries,
    item_counts: NDArray[np.int64],
    *,
    since: datetime | None = None,
    groups: Mapping[str, NDArray[np.str_]] | None = None,
) -> Iterator[Slice]:
    """Cut queries into slices; a slice without a query is left out.

    - ``user=new`` and ``user=known``: users without and with an event in the training part.
    - ``user=older``, where `since` is given: users of whose first query's history more than half lies before `since`.
    - ``activity=light``, ``activity=regular`` and ``activity=heavy``: thirds of the users with an event in the training
      part, by the length of the history of their first query; equal lengths go together.
    - ``<kind>=<group>``: for each of `groups`.
    - ``surface=<name>``: where the targets were met, when there is more than one surface.
    - ``item=head`` and ``item=tail``: the first `HEAD_SHARE` of the catalogue by training interactions (rounded up,
      ties by index), and the rest. A query belongs to each for which it has a target, and is judged on those targets
      alone: other targets in its list neither help nor harm, apart from the slots they take. Targets outside the
      catalogue belong to neither.

    Args:
        queries: Q queries.
        item_counts: ``(V,)`` training interactions of each item index.
        since: The parent of a warm start learned from events before this time; None for no warm start.
        groups: ``(Q,)`` group of each query's user by kind; a user without one has the empty text.
    """
    masks = {"user=new": queries.is_new_user, "user=known": ~queries.is_new_user}
    if since is not None:
        masks[OLDER_USERS] = _is_older(queries, as_microseconds(since))
    masks |= _by_activity(queries)
    for kind, names in (groups or {}).items():
        masks |= {f"{kind}={name}": names == name for name in np.unique(names) if name}
    surfaces = np.unique(queries.surfaces)
    if len(surfaces) > 1:
        masks |= {f"surface={name}": queries.surfaces == name for name in surfaces}
    for name, mask in masks.items():
        rows = np.flatnonzero(mask)
        if len(rows):
            yield Slice(name, rows, queries.targets.take(rows))
    head = head_items(item_counts)
    tail = ~head
    tail[:FIRST_ITEM] = False
    for name, members in (("item=head", head), ("item=tail", tail)):
        targets = _only(queries.targets, members)
        rows = np.flatnonzero(targets.lengths > 0)
        if len(rows):
            yield Slice(name, rows, targets.take(rows))


def groups_of(users: pa.Table, user_ids: NDArray[np.str_], columns: Sequence[str]) -> dict[str, NDArray[np.str_]]:
    """Return the group of each query's user by attribute, ``(Q,)`` each; empty text for a user without one.

    Args:
        users: Rows in the schema `USERS` with attribute columns.
        user_ids: ``(Q,)`` raw ids.
        columns: Which attributes.

    Raises:
        DataError: The table lacks a column.
    """
    missing = [name for name in columns if name not in users.column_names]
    if missing:
        known = [name for name in users.column_names if name not in (USER_ID, SIGNED_UP_AT)]
        raise DataError(
            f"evaluation.user_groups names {missing[0]!r}, which the users table lacks; its attributes are "
            f"{', '.join(known) or 'none'}. Name one of them."
        )
    rows = pc.index_in(pa.array(user_ids.tolist(), pa.string()), value_set=users[USER_ID].combine_chunks())
    return {
        name: np.array(pc.fill_null(users[name].cast(pa.string()).take(rows), "").to_pylist(), dtype=np.str_)
        for name in columns
    }


def head_items(item_counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which indices belong to the head, ``(V,)``; the two special entries never do."""
    counts = item_counts[FIRST_ITEM:]
    size = math.ceil(HEAD_SHARE * len(counts))
    is_head = np.zeros(len(item_counts), dtype=np.bool_)
    is_head[FIRST_ITEM + np.argsort(-counts, kind="stable")[:size]] = True
    return is_head


def _is_older(queries: Queries, since: int) -> NDArray[np.bool_]:
    """Return which queries are of older users, (Q,); a user's queries stand together, the earliest first."""
    histories = queries.histories
    positions = histories.positions()
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    before = np.bincount(rows, weights=histories.timestamps[positions] < since, minlength=len(histories))
    _, first, user = np.unique(queries.user_ids, return_index=True, return_inverse=True)
    is_older: NDArray[np.bool_] = (2 * before > histories.lengths)[first[user]]
    return is_older


def _by_activity(queries: Queries) -> dict[str, NDArray[np.bool_]]:
    """Return the queries of each third of the known users; none where a third of them cannot be told apart."""
    _, first, user = np.unique(queries.user_ids, return_index=True, return_inverse=True)
    known = ~queries.is_new_user[first]
    if not known.any():
        return {}
    lengths = queries.histories.lengths[first]
    light, regular = np.quantile(lengths[known], [1 / 3, 2 / 3], method="lower")
    if not light < regular < lengths[known].max():
        return {}
    parts = {"light": lengths <= light, "regular": (lengths > light) & (lengths <= regular), "heavy": lengths > regular}
    return {f"activity={name}": (part & known)[user] for name, part in parts.items()}


def _only(targets: Histories, members: NDArray[np.bool_]) -> Histories:
    rows, items = targets.flat()
    kept = members[items]
    lengths = np.bincount(rows[kept], minlength=len(targets))
    ends = np.cumsum(lengths)
    compact = targets.compact()
    return replace(targets, items=items[kept], timestamps=compact.timestamps[kept], starts=ends - lengths, ends=ends)
