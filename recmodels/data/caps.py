"""How much one user can say of one item: events beyond a cap do not count, whoever repeats them and why."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories


def clip_repeats(histories: Histories, *, maximum: int) -> Histories:
    """Return histories in which no row holds an item more than `maximum` times; the latest events are kept.

    The arrays are shared where nothing is left out.
    """
    rows, items = histories.flat()
    return leave_out(histories, latest(rows, items, maximum=maximum))


def leave_out(histories: Histories, kept: NDArray[np.bool_]) -> Histories:
    """Return histories of the kept events alone.

    Args:
        histories: B rows.
        kept: ``(E',)`` in the order of `Histories.flat`.
    """
    if kept.all():
        return histories
    rows, whole = histories.flat().rows, histories.compact()
    lengths = np.bincount(rows[kept], minlength=len(histories))
    ends = np.cumsum(lengths)
    return Histories(whole.items[kept], whole.timestamps[kept], ends - lengths, ends)


def clip_files(
    folder: Path, lengths: NDArray[np.int64], parts: NDArray[np.int64], *, maximum: int
) -> NDArray[np.int64]:
    """Clip histories that lie in ``items.npy`` and ``timestamps.npy``, part by part, as `clip_repeats` does.

    Args:
        folder: Where the files are; they are replaced where anything is left out.
        lengths: ``(U,)`` events of each user, one user after the other.
        parts: First user of each part, then U.
        maximum: How many events of one user on one item are kept.

    Returns:
        ``(U,)`` events that are left of each user.
    """
    arrays = {
        name: np.load(folder / name, mmap_mode="r+", allow_pickle=False) for name in ("items.npy", "timestamps.npy")
    }
    clipped = lengths.copy()
    start = end = 0
    for first, last in pairwise(parts.tolist()):
        stop = start + int(lengths[first:last].sum())
        rows = np.repeat(np.arange(last - first), lengths[first:last])
        kept = latest(rows, arrays["items.npy"][start:stop], maximum=maximum)
        clipped[first:last] = np.bincount(rows[kept], minlength=last - first)
        for array in arrays.values():
            if end < start or not kept.all():
                array[end : end + int(kept.sum())] = array[start:stop][kept]
        start, end = stop, end + int(kept.sum())
    if end < start:
        for name, array in arrays.items():
            np.save(folder / f"clipped-{name}", array[:end], allow_pickle=False)
            (folder / f"clipped-{name}").replace(folder / name)
    return clipped


def latest(rows: NDArray[np.int64], items: NDArray[np.int32], *, maximum: int) -> NDArray[np.bool_]:
    """Say which events are among the last `maximum` of their row's on their item, ``(E,)``.

    Args:
        rows: ``(E,)`` row of each event.
        items: ``(E,)`` item of each event, oldest first within a row.
        maximum: How many are kept.
    """
    keys = (rows.astype(np.int64) << 32) + items
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    ends = np.searchsorted(ordered, ordered, side="right")
    kept = np.empty(len(keys), dtype=np.bool_)
    kept[order] = ends - np.arange(len(keys)) <= maximum
    return kept
