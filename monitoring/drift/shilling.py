"""Which accounts look as if they were made to push an item: by bursts on it, and by swarms of newcomers.

Every statistic is a count over (day, user, item), so that a day of millions of events is judged by a few sorts. Nothing
here reads the origin of a row: synthetic attacks are found by what they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binom

from monitoring.drift._rows import Rows, encode_rows
from monitoring.quarantine import keep_back
from recmodels.data import schema

BURST: Final = "burst"
SWARM: Final = "swarm"
DAY: Final = "day"
_MOST_TARGETS = 100
_PRIOR_USERS = 20.0


class ShillingConfig(BaseModel):
    """When an account is suspect, and when there are so many that people are told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_burst: int = Field(5, ge=2)
    """Fewest events of one account on one item in a day that are a burst, whatever the past was like."""
    usual_share: float = Field(0.9999, gt=0.5, lt=1)
    """A burst is more than this share of past (day, user, item) triples held, and half as much again."""
    minimum_accounts: int = Field(5, ge=2)
    """Fewest suspect accounts on one item in a day that people are told of, and that make a swarm."""
    newcomer_days: int = Field(3, ge=1)
    """An account is a newcomer on so many days, from its first one."""
    swarm_probability: float = Field(1e-3, gt=0, lt=1)
    """Chance, over all items of a day together, that a swarm is seen where newcomers choose as others do."""
    swarm_excess: float = Field(0.3, gt=0, lt=1)
    """Least share of an item's users of a day that are newcomers beyond what is expected."""
    learning_days: int = Field(3, ge=1)
    """Days that must lie before the first judged one."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """What was found in the judged days.

    Attributes:
        accounts: One row an account, item and reason: `user_id`, `item_id`, `day` (first day), `reason` (a sentence).
        targets: One row an item and day that reached `ShillingConfig.minimum_accounts`: `item_id`, `day`, `accounts`.
        days: Judged days; 0 where the past is too short.
        users: Accounts seen in the judged days.
        burst: Events of one account on one item in a day from which on they are a burst.
    """

    accounts: pa.Table
    targets: pa.Table
    days: int
    users: int
    burst: int

    @property
    def user_ids(self) -> pa.ChunkedArray:
        """Each suspect account once."""
        return pc.unique(self.accounts[schema.USER_ID])

    @property
    def reasons(self) -> dict[str, str]:
        """The first reason of each suspect account."""
        backwards = reversed(self.accounts.select([schema.USER_ID, schema.REASON]).to_pylist())
        return {row[schema.USER_ID]: row[schema.REASON] for row in backwards}


def find_suspects(reference: pa.Table, current: pa.Table, config: ShillingConfig | None = None) -> Suspects:
    """Look through the days of `current`.

    - burst: an account has more events on one item in a day than the past knows.
    - swarm: of an item's users of a day, far more are newcomers than of other items' and of its own past; the
      newcomers among them are suspect. The surest item is taken first and its suspects are left out before the next one
      is looked for, so that what fake accounts consume as fillers is not taken for their target.

    An account that alone repeats an item is suspect, and is nothing to alarm of. Genuine newcomers on a swarmed item
    are suspect with the others: quarantined rows can be released.

    Args:
        reference: Events before those of `current`, in the schema `INTERACTIONS`.
        current: The days to judge.
        config: When an account is suspect.
    """
    config = config or ShillingConfig()
    together = pa.concat_tables([reference, current.select(reference.column_names)])
    if current.num_rows == 0:
        return _nothing(0, config.minimum_burst)
    triples = _Triples.of(encode_rows(together))
    first = triples.day_of(current)
    is_judged = triples.day >= first
    if first < config.learning_days:
        return _nothing(len(np.unique(triples.user[is_judged])), config.minimum_burst)
    burst = _burst_from(triples.count[~is_judged], config)
    found = [_Found(np.flatnonzero(is_judged & (triples.count >= burst)), BURST)]
    found += _swarms(triples, is_judged, found[0].rows, first, config)
    return _suspects(triples, found, burst, is_judged, config)


def quarantine_accounts(interactions: pa.Table, reasons: Mapping[str, str], *, at: datetime) -> pa.Table:
    """Return every row of some accounts in the schema `QUARANTINE`, with the reason of its account.

    Args:
        interactions: Rows in the schema `INTERACTIONS`.
        reasons: Why each account's rows are kept back, by user id.
        at: Moment of it.
    """
    place = pc.index_in(interactions[schema.USER_ID], value_set=pa.array(list(reasons), pa.string()))
    told = pa.array(list(reasons.values()), pa.string()).take(place.drop_null().combine_chunks())
    return keep_back(interactions.filter(place.is_valid()), reasons=told, name="interactions", at=at)


def without_accounts(interactions: pa.Table, user_ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the rows of all other accounts."""
    return interactions.filter(pc.invert(pc.is_in(interactions[schema.USER_ID], value_set=user_ids)))


@dataclass(frozen=True, eq=False)
class _Triples:
    """Events counted by day, user and item, sorted by day, (P,) each."""

    rows: Rows
    day: NDArray[np.int64]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    count: NDArray[np.int64]
    first_day: NDArray[np.int64]  # (U,) first day of each user

    @classmethod
    def of(cls, rows: Rows) -> "_Triples":
        users, items = len(rows.users.names), len(rows.items.names)
        keys = (rows.day * users + rows.users.codes) * items + rows.items.codes
        triples, counts = np.unique(keys, return_counts=True)
        pairs, item = np.divmod(triples, items)
        day, user = np.divmod(pairs, users)
        first = np.full(users, len(rows.days), dtype=np.int64)
        np.minimum.at(first, user, day)
        return cls(rows, day, user, item, counts.astype(np.int64), first)

    def day_of(self, events: pa.Table) -> int:
        """Return the number of the first day of some events."""
        earliest = pc.min(events[schema.TIMESTAMP]).cast(pa.int64()).as_py() // 86_400_000_000
        return int(earliest - self.rows.days[0].astype(np.int64))


@dataclass(frozen=True, eq=False)
class _Found:
    rows: NDArray[np.int64]  # numbers of triples
    kind: str
    words: str = ""


def _burst_from(past: NDArray[np.int64], config: ShillingConfig) -> int:
    """Return the number of events from which on they are a burst."""
    usual = int(np.quantile(past, config.usual_share, method="higher")) if len(past) else 0
    return max(config.minimum_burst, int(np.floor(1.5 * usual)) + 1)


def _swarms(
    triples: _Triples, is_judged: NDArray[np.bool_], known: NDArray[np.int64], first: int, config: ShillingConfig
) -> list[_Found]:
    """Find swarmed items, the surest first, each time without the accounts found before."""
    usual = _usual_shares(triples, first, config)
    is_suspect = np.zeros(len(triples.first_day), dtype=np.bool_)
    is_suspect[triples.user[known]] = True
    found: list[_Found] = []
    while len(found) < _MOST_TARGETS:
        left = np.flatnonzero(is_judged & ~is_suspect[triples.user])
        best = _surest(triples, left, first, usual, config)
        if best is None:
            break
        found.append(best)
        is_suspect[triples.user[best.rows]] = True
    return found


def _surest(
    triples: _Triples, left: NDArray[np.int64], first: int, usual: NDArray[np.float64], config: ShillingConfig
) -> _Found | None:
    """Return the newcomers on the item and day where they are least likely by chance; None where none is unlikely."""
    if len(left) == 0:
        return None
    items, days = len(usual), len(triples.rows.days) - first
    cell = (triples.day[left] - first) * items + triples.item[left]
    is_new = triples.day[left] - triples.first_day[triples.user[left]] < config.newcomer_days
    users = np.bincount(cell, minlength=items * days).astype(np.float64)
    fresh = np.bincount(cell, weights=is_new, minlength=items * days).astype(np.float64)
    of_day = _among_others(users.reshape(days, items), fresh.reshape(days, items)).ravel()
    expected = np.clip(np.maximum(of_day, np.tile(usual, days)), 1e-6, 1 - 1e-6)
    share = fresh / np.maximum(users, 1)
    looked_at = np.flatnonzero((fresh >= config.minimum_accounts) & (share - expected >= config.swarm_excess))
    if len(looked_at) == 0:
        return None
    chance = binom.logsf(fresh[looked_at] - 1, users[looked_at], expected[looked_at])
    best = int(chance.argmin())
    if chance[best] > np.log(config.swarm_probability / max(1, int((users > 0).sum()))):
        return None
    place = looked_at[best]
    words = f"{fresh[place]:.0f} of {users[place]:.0f} users of the day are newcomers, {expected[place]:.0%} expected"
    return _Found(left[(cell == place) & is_new], SWARM, words)


def _among_others(users: NDArray[np.float64], fresh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the newcomers' share among a day's other items, (days, items)."""
    others = users.sum(axis=1, keepdims=True) - users
    rest = fresh.sum(axis=1, keepdims=True) - fresh
    shares: NDArray[np.float64] = np.divide(rest, others, out=np.zeros(users.shape), where=others > 0)
    return shares


def _usual_shares(triples: _Triples, first: int, config: ShillingConfig) -> NDArray[np.float64]:
    """Return the newcomers' share of each item's users in the past, shrunk to that of all items, (N,)."""
    items = len(triples.rows.items.names)
    past = np.flatnonzero((triples.day < first) & (triples.day >= config.newcomer_days))
    if len(past) == 0:
        return np.zeros(items)
    is_new = triples.day[past] - triples.first_day[triples.user[past]] < config.newcomer_days
    users = np.bincount(triples.item[past], minlength=items)
    fresh = np.bincount(triples.item[past], weights=is_new, minlength=items)
    shares: NDArray[np.float64] = (fresh + _PRIOR_USERS * is_new.mean()) / (users + _PRIOR_USERS)
    return shares


def _suspects(
    triples: _Triples, found: list[_Found], burst: int, is_judged: NDArray[np.bool_], config: ShillingConfig
) -> Suspects:
    rows = np.concatenate([one.rows for one in found])
    words = np.concatenate([_words(triples, one, burst) for one in found])
    names = triples.rows
    days = names.days[triples.day[rows]]
    accounts = pa.table(
        {
            schema.USER_ID: pa.array(names.users.names[triples.user[rows]].tolist(), pa.string()),
            schema.ITEM_ID: pa.array(names.items.names[triples.item[rows]].tolist(), pa.string()),
            DAY: pa.array(days, pa.date32()),
            schema.REASON: pa.array(words.tolist(), pa.string()),
        }
    )
    cells, counts = np.unique(triples.day[rows] * len(names.items.names) + triples.item[rows], return_counts=True)
    many = counts >= config.minimum_accounts
    day, item = np.divmod(cells[many], len(names.items.names))
    targets = pa.table(
        {
            schema.ITEM_ID: pa.array(names.items.names[item].tolist(), pa.string()),
            DAY: pa.array(names.days[day], pa.date32()),
            "accounts": pa.array(counts[many], pa.int64()),
        }
    )
    judged = triples.day[is_judged]
    return Suspects(accounts, targets, len(np.unique(judged)), len(np.unique(triples.user[is_judged])), burst)


def _words(triples: _Triples, one: _Found, burst: int) -> NDArray[np.str_]:
    if one.kind == SWARM:
        return np.full(len(one.rows), f"swarm on one item: {one.words}")
    counts = triples.count[one.rows].astype(np.str_)
    return np.strings.add(np.strings.add("burst on one item: ", counts), f" events in a day, {burst - 1} are usual")


def _nothing(users: int, burst: int) -> Suspects:
    text = pa.array([], pa.string())
    day = pa.array([], pa.date32())
    accounts = pa.table({schema.USER_ID: text, schema.ITEM_ID: text, DAY: day, schema.REASON: text})
    targets = pa.table({schema.ITEM_ID: text, DAY: day, "accounts": pa.array([], pa.int64())})
    return Suspects(accounts, targets, 0, users, burst)
