"""The people of the closed loop: what they find by themselves, when they open the feed, and what they click there.

Their world is the source `synthetic`'s. Two ways lead them to items: what they find by themselves, which the app's own
log brings in every night, and the feed. Before the first day the app makes the feed, too, and logs it; then the gateway
does. Users come and go, so that nothing runs dry.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data import schema
from recmodels.data.sources import synthetic
from recmodels.data.world import World

_MEASURED = (schema.WATCH_SECONDS, schema.DURATION_SECONDS, schema.QUERY)
"""Columns of the source that neither the app nor the gateway knows here."""
_SURFACE = "video"
_SESSION_GAP = 1_200_000_000
_DAY = 86_400_000_000
_OPENING = timedelta(hours=7)
_CLOSING = timedelta(hours=23)
_MICROSECOND = timedelta(microseconds=1)
_HISTORY = 50


@dataclass(frozen=True)
class LoopSizes:
    """How large the loop is.

    Attributes:
        people: Users who are active at a time.
        stay_days: Days that a user is active.
        items: Items of the catalogue.
        slate: Items of a list.
        sessions: Sessions a user a day.
        feed_share: Share of the sessions that are visits to the feed.
        seed_days: Days of the app's log before the first model.
        shift_day: Day of the loop on which tastes shift; None for never.
        days: Most days of the loop.
        seed: Of every draw.
    """

    people: int = 1600
    stay_days: int = 6
    items: int = 400
    slate: int = 6
    sessions: float = 0.9
    feed_share: float = 0.45
    seed_days: int = 14
    shift_day: int | None = 30
    days: int = 100
    seed: int = 20261122


@dataclass(frozen=True)
class FeedVisit:
    """One visit to the feed.

    Attributes:
        user: Number of the user.
        at: When.
        history: Items with the microseconds at which they were clicked, oldest first: the app knows it.
    """

    user: int
    at: datetime
    history: tuple[tuple[str, int], ...]


@dataclass(eq=False)
class People:
    """Who lives in the loop, and what each has clicked.

    Attributes:
        sizes: How many.
        first: First day of the loop.
        truth: Who would click what, on which day.
        log: Events of the app's log by day of the loop; the days before the first model are negative.
        items: Rows in the schema `ITEMS`.
    """

    sizes: LoopSizes
    first: date
    truth: World
    log: dict[int, pa.Table]
    items: pa.Table
    _rng: np.random.Generator
    _clicked: list[list[tuple[str, int]]] = field(repr=False)

    @classmethod
    def born(cls, sizes: LoopSizes, *, first: date) -> "People":
        """Draw a world, and everything that people find in it by themselves."""
        span = sizes.seed_days + sizes.days
        options = synthetic.Options(
            users=round(sizes.people * (span + sizes.stay_days) / sizes.stay_days),
            items=sizes.items,
            creators=max(1, sizes.items // 8),
            days=span,
            start=first - timedelta(days=sizes.seed_days),
            sessions_a_day=sizes.sessions,
            slate=sizes.slate,
            drift=0.0,
            newcomers=0.0,
            shift_day=None if sizes.shift_day is None else sizes.seed_days + sizes.shift_day,
            stay_days=sizes.stay_days,
            seed=sizes.seed,
        )
        tables = synthetic.read(**options.model_dump())
        rng = np.random.default_rng([sizes.seed, 2])
        rows = _logged(tables.interactions, sizes, first=first, rng=rng)
        day = _days(rows, first)
        bounds = np.searchsorted(day, np.arange(-sizes.seed_days, sizes.days + 1))
        log = {
            number - sizes.seed_days: rows.slice(start, end - start)
            for number, (start, end) in enumerate(pairwise(bounds))
        }
        items = _set(tables.items, schema.SURFACE, pa.repeat(_SURFACE, tables.items.num_rows))
        people = cls(sizes, first, synthetic.world(options), log, items, rng, [[] for _ in range(options.users)])
        for number in range(-sizes.seed_days, 0):
            people.learn(number)
        return people

    def midnight(self, day: int) -> datetime:
        """Return the moment at which a day of the loop begins."""
        return datetime.combine(self.first, datetime.min.time(), tzinfo=UTC) + timedelta(days=day)

    def learn(self, day: int) -> None:
        """Remember what people clicked by themselves on a day."""
        clicks = self.log[day].filter(self.log[day][schema.CLICKED])
        moments = pc.cast(clicks[schema.TIMESTAMP], pa.int64()).to_pylist()
        users, items = clicks[schema.USER_ID].to_pylist(), clicks[schema.ITEM_ID].to_pylist()
        for user, item, moment in zip(users, items, moments, strict=True):
            self._clicked[int(user[1:])].append((item, moment))

    def visits(self, day: int, *, parts: int) -> Iterator[list[FeedVisit]]:
        """Yield the visits of a day in order of time, in so many parts of the day."""
        truth, absolute = self.truth, day + self.sizes.seed_days
        is_here = (truth.user_days <= absolute) & (absolute < truth.last_days())
        here = np.flatnonzero(is_here)
        rates = truth.user_rates[here]
        mean = self.sizes.sessions * self.sizes.feed_share * truth.activity(np.array([absolute]))[0] / 0.86
        users = np.repeat(here, self._rng.poisson(mean * rates))
        seconds = np.sort(self._rng.uniform(0, (_CLOSING - _OPENING).total_seconds(), len(users)))
        users = self._rng.permutation(users)
        opening = self.midnight(day) + _OPENING
        for chosen in np.array_split(np.arange(len(users)), parts):
            yield [self._visit(int(users[n]), opening + timedelta(seconds=float(seconds[n]))) for n in chosen]

    def clicks(self, visit: FeedVisit, item_ids: Sequence[str]) -> list[str]:
        """Draw which items of a list a visitor clicks, and remember them."""
        numbers = np.array([int(item[1:]) for item in item_ids], dtype=np.int64)
        chances = self._chances(visit, numbers)
        found = [item for item, hit in zip(item_ids, self._rng.random(len(numbers)) < chances, strict=True) if hit]
        moment = (visit.at - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
        self._clicked[visit.user] += [(item, moment) for item in found]
        return found

    def _chances(self, visit: FeedVisit, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        absolute = (visit.at - self.midnight(-self.sizes.seed_days)) / timedelta(days=1)
        users = np.full(len(numbers), visit.user)
        positions = np.arange(len(numbers))
        return self.truth.click_probability(users, numbers, day=absolute, position=positions)

    def _visit(self, user: int, at: datetime) -> FeedVisit:
        return FeedVisit(user, at, tuple(self._clicked[user][-_HISTORY:]))


def _logged(rows: pa.Table, sizes: LoopSizes, *, first: date, rng: np.random.Generator) -> pa.Table:
    """Return what the app logs: every session before the first day, then those that are not of the feed."""
    users = rows[schema.USER_ID].combine_chunks().dictionary_encode().indices.to_numpy()
    micros = pc.cast(rows[schema.TIMESTAMP], pa.int64()).to_numpy()
    begins = (np.diff(users) != 0) | (np.abs(np.diff(micros)) > _SESSION_GAP)
    session = np.concatenate([[0], np.cumsum(begins)])
    is_own = rng.random(session[-1] + 1)[session] >= sizes.feed_share
    rows = rows.filter(pa.array(is_own | (_days(rows, first) < 0))).drop_columns(list(_MEASURED))
    for column in schema.FEEDBACK_COLUMNS:
        if column != schema.CLICKED:
            rows = _set(rows, column, pa.array(np.zeros(rows.num_rows, np.bool_)))
    return _set(rows, schema.SURFACE, pa.repeat(_SURFACE, rows.num_rows)).sort_by(schema.TIMESTAMP)


def _days(rows: pa.Table, first: date) -> NDArray[np.int64]:
    numbers = pc.cast(rows[schema.TIMESTAMP], pa.int64()).to_numpy() // _DAY
    return np.asarray(numbers - (first - date(1970, 1, 1)).days, dtype=np.int64)


def _set(rows: pa.Table, column: str, values: pa.Array) -> pa.Table:
    place = rows.schema.get_field_index(column)
    return rows.set_column(place, rows.schema.field(column), values)
