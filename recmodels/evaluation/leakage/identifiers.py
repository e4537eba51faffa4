"""Whether ids tell when something first appeared: raw ids in their order, against the time of the first event."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.evaluation.leakage.findings import Finding, LeakageConfig, Severity, judged
from recmodels.evaluation.leakage.ranks import correlation, ranks

_NUMBER = r"^[0-9]{1,18}$"
_NUMBERED = r"^(?P<prefix>[^0-9]*)(?P<number>[0-9]{1,18})$"


def id_finding(kind: str, ids: pa.Array, first_seen: NDArray[np.int64], *, config: LeakageConfig) -> Finding:
    """Correlate the order of ids with first appearance.

    Args:
        kind: ``item`` or ``user``.
        ids: ``(N,)`` distinct raw ids with an event.
        first_seen: ``(N,)`` time of the first event of each, the test part included.
        config: From which size on it matters.
    """
    name = f"{kind}_ids"
    if len(ids) < config.minimum_ids:
        return Finding(name=name, severity=Severity.OK, size=0.0, what=f"Only {len(ids)} {kind}s: too few to say.")
    order, how = order_of(ids)
    size = correlation(ranks(order), ranks(first_seen))
    is_given_afterwards = abs(size) >= config.id_leak
    return judged(
        name,
        abs(size),
        f"Ids of {len(ids):,} {kind}s, {how}, go with first appearance: rank correlation {size:+.3f}.",
        note_at=config.id_note,
        leak_at=config.id_leak,
        why=f"Only who saw all events, the test part included, could number {kind}s so: whatever reads an id as a "
        "number, or breaks a tie by it, knows what comes next."
        if is_given_afterwards
        else "An id tells how new its owner is. Models here look ids up and ties follow a hash, so nothing is gained "
        "from it; a program that reads ids as numbers does gain.",
        advice="Use the ids of the system that served, or random ones."
        if is_given_afterwards
        else "Never feed ids as numbers and never sort ties by them.",
    )


def order_of(ids: pa.Array) -> tuple[NDArray[np.generic], str]:
    """Return a key that sorts ids as they were counted, ``(N,)``, and how they were read.

    Numbers, and numbers behind one common prefix such as ``v000123``, count as numbers; other ids are in the order of
    text.
    """
    if pc.all(pc.match_substring_regex(ids, pattern=_NUMBER)).as_py():
        return ids.cast(pa.int64()).to_numpy(), "as numbers"
    parts = pc.extract_regex(ids, pattern=_NUMBERED)
    if parts.null_count == 0 and len(pc.unique(parts.field("prefix"))) == 1:
        return parts.field("number").cast(pa.int64()).to_numpy(), "as the numbers in them"
    return np.array(ids.to_pylist(), dtype=np.str_), "in the order of text"
