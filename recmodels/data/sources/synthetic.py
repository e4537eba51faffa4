"""A seeded world of short videos with known truth, for tests and simulations; its rows carry origin = synthetic."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import normalise
from recmodels.data.schema import (
    CATEGORY,
    CLICKED,
    COMMENTED,
    CREATOR_ID,
    DURATION_SECONDS,
    EXPOSED_AT,
    FOLLOWED,
    HIDDEN,
    ITEM_ID,
    LIKED,
    LONG_VIEWED,
    ORIGIN,
    ORIGIN_SYNTHETIC,
    PUBLISHED_AT,
    QUERY,
    SHARED,
    SIGNED_UP_AT,
    SURFACE,
    SURFACES,
    TEXT,
    TIMESTAMP,
    USER_ID,
    WATCH_SECONDS,
    Tables,
)
from recmodels.data.sources._files import SourceOptions, parse_options, read_toml
from recmodels.data.world import CATEGORIES, World, WorldSizes, build_world

_NAME = "synthetic"
_VIDEO, _LIVE, _SEARCH = range(3)
_SURFACE_SHARES = (0.72, 0.13, 0.15)
_BLOCK = 2048
"""Sessions scored at once: bounds the memory of the session-by-item matrix."""
_SECONDS_A_DAY = 86_400
_MICROSECONDS = 1_000_000
_AGES = np.array(["13-17", "18-24", "25-34", "35-49", "50+"])
_REGIONS = np.array(["north", "east", "south", "west"])


class Options(SourceOptions):
    """Size and liveliness of the world; the same options give the same rows."""

    users: int = Field(1000, ge=1)
    items: int = Field(800, ge=1)
    creators: int = Field(120, ge=1)
    days: int = Field(28, ge=1)
    start: date = date(2024, 1, 1)
    """First day (UTC)."""
    sessions_a_day: float = Field(0.5, gt=0)
    """Mean sessions of a user a day."""
    slate: int = Field(8, ge=1)
    """Items shown a session."""
    drift: float = Field(0.02, ge=0)
    """Radians a day by which tastes turn."""
    newcomers: float = Field(0.2, ge=0, lt=1)
    """Share of users and items that appear during the days."""
    shift_day: float | None = Field(None, ge=0)
    """Day from which people like other sides of the items, and other items; none without."""
    stay_days: float | None = Field(None, gt=0)
    """Days after which a user leaves; `newcomers` is of items alone then, since users come all the time."""
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class _Sessions:
    """S visits.

    Attributes:
        users: ``(S,)`` user of each.
        starts: ``(S,)`` seconds since the first day.
        surfaces: ``(S,)`` index into `SURFACES`.
        topics: ``(S,)`` category searched for; -1 off search.
    """

    users: NDArray[np.int64]
    starts: NDArray[np.float64]
    surfaces: NDArray[np.int64]
    topics: NDArray[np.int64]

    @property
    def days(self) -> NDArray[np.float64]:
        return self.starts / _SECONDS_A_DAY


def read(path: Path | None = None, **options: object) -> Tables:
    """Make a synthetic data set.

    Args:
        path: A TOML file of options, which those given here win over; anything that is not a file is not looked at.
        options: See `Options`.

    Raises:
        SourceError: An option is unknown or out of its range.
    """
    written = read_toml(path, source=_NAME) if path is not None and path.is_file() else {}
    chosen = parse_options(Options, written | options, source=_NAME)
    truth = world(chosen)
    rng = np.random.default_rng([chosen.seed, 1])
    sessions = _sessions(truth, chosen, rng=rng)
    shown = _slates(truth, sessions, slate=chosen.slate, rng=rng)
    interactions = normalise(_exposures(truth, sessions, shown, start=chosen.start, rng=rng), source=_NAME)
    return Tables(
        name=_NAME,
        interactions=interactions,
        items=normalise_items(_items(truth, chosen.start), interactions, source=_NAME),
        users=normalise_users(_users(truth, chosen, rng=rng), interactions, source=_NAME),
        terms="Made up by a simulation: not real behaviour, and no figure measured on it is one of a real data set.",
        notes=(f"a simulated world with seed {chosen.seed}; every row has origin {ORIGIN_SYNTHETIC}",),
    )


def world(options: Options) -> World:
    """Return the truth behind the data set that `read` makes with these options.

    User `n` has the id ``u<n>`` and item `n` the id ``v<n>``, both filled with zeros to six digits.
    """
    sizes = WorldSizes(
        users=options.users,
        items=options.items,
        creators=options.creators,
        days=options.days,
        drift=options.drift,
        newcomers=options.newcomers,
        first_weekday=options.start.weekday(),
        shift_day=options.shift_day,
        stay_days=options.stay_days,
    )
    return build_world(sizes, slate=options.slate, rng=np.random.default_rng([options.seed, 0]))


def _sessions(truth: World, options: Options, *, rng: np.random.Generator) -> _Sessions:
    first = np.maximum(truth.user_days, 0.0)
    stay = np.maximum(truth.last_days() - first, 0.0)
    counts = rng.poisson(truth.user_rates * stay * options.sessions_a_day / 0.86)
    users = np.repeat(np.arange(options.users), counts)
    moments = first[users] + rng.random(len(users)) * stay[users]
    evenings = (np.floor(moments) + (rng.normal(20.0, 3.0, len(users)) % 24.0) / 24.0).clip(max=options.days - 0.01)
    starts = np.maximum(evenings, first[users]) * _SECONDS_A_DAY
    kept = rng.random(len(users)) < truth.activity(np.floor(starts / _SECONDS_A_DAY).astype(np.int64))
    users, starts = users[kept], starts[kept]
    surfaces = rng.choice(len(SURFACES), size=len(users), p=_SURFACE_SHARES)
    wishes = 4.0 * truth.tastes(users, starts / _SECONDS_A_DAY) @ truth.category_factors.T  # (S, C)
    topics = np.argmax(wishes + rng.gumbel(size=wishes.shape), axis=1)
    return _Sessions(users, starts, surfaces, np.where(surfaces == _SEARCH, topics, -1))


def _slates(truth: World, sessions: _Sessions, *, slate: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose what each session is shown, best guess first, as an imperfect recommender would.

    Returns:
        ``(S, K)`` items; -1 where a session has fewer candidates.
    """
    shown = np.full((len(sessions.users), slate), -1, dtype=np.int64)
    width = min(slate, truth.sizes.items)
    for start in range(0, len(shown), _BLOCK):
        block = slice(start, start + _BLOCK)
        tastes = truth.tastes(sessions.users[block], sessions.days[block])
        scores = 1.5 * tastes @ truth.item_factors.T + truth.popularity(sessions.days[block])
        scores += rng.gumbel(size=scores.shape)
        scores[~_candidates(truth, sessions, block)] = -np.inf
        best = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        found = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        is_candidate = np.isfinite(np.take_along_axis(found, order, axis=1))
        shown[block, :width] = np.where(is_candidate, np.take_along_axis(best, order, axis=1), -1)
    return shown


def _candidates(truth: World, sessions: _Sessions, block: slice) -> NDArray[np.bool_]:
    """Which items each session of a block may be shown, ``(B, N)``."""
    surfaces, topics = sessions.surfaces[block, None], sessions.topics[block, None]
    is_published = truth.item_days <= sessions.days[block, None]
    is_of_surface = (surfaces == _SEARCH) | (truth.item_is_live == (surfaces == _LIVE))
    is_of_topic = (topics < 0) | (truth.item_categories == topics)
    allowed: NDArray[np.bool_] = is_published & is_of_surface & is_of_topic
    return allowed


def _exposures(
    truth: World, sessions: _Sessions, shown: NDArray[np.int64], *, start: date, rng: np.random.Generator
) -> pa.Table:
    is_shown = shown >= 0  # (S, K)
    items = np.where(is_shown, shown, 0)
    position = np.broadcast_to(np.arange(shown.shape[1]), shown.shape)
    users, days = sessions.users[:, None], sessions.days[:, None]
    clicked = rng.random(shown.shape) < truth.click_probability(users, items, day=days, position=position)
    liking = 1.0 / (1.0 + np.exp(-truth.affinity(users, items, day=days)))
    fraction = np.where(clicked, rng.beta(1.0 + 3.0 * liking, 1.5), rng.beta(1.0, 9.0, size=shown.shape))
    watched = np.round(fraction * truth.item_seconds[items], 3)
    offsets = np.cumsum(watched + 1.0, axis=1) - watched - 1.0
    seconds = sessions.starts[:, None] + offsets
    is_shown &= seconds < truth.sizes.days * _SECONDS_A_DAY
    moments = _times(seconds, start)
    owner = np.broadcast_to(users, shown.shape)[is_shown]
    rows = np.broadcast_to(np.arange(len(shown))[:, None], shown.shape)[is_shown]
    columns = {
        USER_ID: _ids("u", owner),
        ITEM_ID: _ids("v", items[is_shown]),
        TIMESTAMP: moments[is_shown],
        SURFACE: np.array(SURFACES)[sessions.surfaces[rows]],
        QUERY: pa.array(np.array(CATEGORIES)[sessions.topics[rows]], mask=sessions.topics[rows] < 0),
        WATCH_SECONDS: watched[is_shown],
        DURATION_SECONDS: truth.item_seconds[items][is_shown],
        EXPOSED_AT: moments[is_shown],
        ORIGIN: pa.repeat(ORIGIN_SYNTHETIC, int(is_shown.sum())),
        CLICKED: clicked[is_shown],
        LONG_VIEWED: (clicked & (fraction >= 0.8))[is_shown],
    }
    return pa.table(columns | _feedback(clicked[is_shown], liking[is_shown], rng=rng))


def _feedback(
    clicked: NDArray[np.bool_], liking: NDArray[np.float64], *, rng: np.random.Generator
) -> dict[str, NDArray[np.bool_]]:
    """Draw the rarer kinds of feedback: the better an item suits, the likelier; a hide the less."""
    chances = {
        LIKED: 0.25 * liking * clicked,
        SHARED: 0.05 * liking * clicked,
        FOLLOWED: 0.03 * liking * clicked,
        COMMENTED: 0.06 * liking * clicked,
        HIDDEN: 0.02 * (1.0 - liking) * ~clicked,
    }
    return {name: rng.random(len(chance)) < chance for name, chance in chances.items()}


def _items(truth: World, start: date) -> pa.Table:
    categories = np.array(CATEGORIES)[truth.item_categories]
    creators = _ids("c", truth.item_creators)
    kinds = np.where(truth.item_is_live, SURFACES[_LIVE], SURFACES[_VIDEO])
    texts = np.char.add(np.char.add(np.char.add(categories, " "), kinds), np.char.add(" by ", creators))
    return pa.table(
        {
            ITEM_ID: _ids("v", np.arange(truth.sizes.items)),
            CREATOR_ID: creators,
            SURFACE: kinds,
            CATEGORY: categories,
            TEXT: texts,
            DURATION_SECONDS: truth.item_seconds,
            PUBLISHED_AT: _times(truth.item_days * _SECONDS_A_DAY, start),
        }
    )


def _users(truth: World, options: Options, *, rng: np.random.Generator) -> pa.Table:
    return pa.table(
        {
            USER_ID: _ids("u", np.arange(options.users)),
            SIGNED_UP_AT: _times(truth.user_days * _SECONDS_A_DAY, options.start),
            "age_band": _AGES[rng.integers(len(_AGES), size=options.users)],
            "region": _REGIONS[rng.integers(len(_REGIONS), size=options.users)],
        }
    )


def _ids(letter: str, numbers: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.char.add(letter, np.char.zfill(numbers.astype(np.str_), 6))


def _times(seconds: NDArray[np.float64], start: date) -> NDArray[np.datetime64]:
    origin = int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp())
    return (origin * _MICROSECONDS + np.round(seconds * _MICROSECONDS).astype(np.int64)).astype("datetime64[us]")
