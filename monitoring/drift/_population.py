"""Figures of who comes and where: row volume, distinct users, new users, surfaces."""

from collections.abc import Iterator

import numpy as np

from monitoring.drift._rows import Coded, Rows, pair_counts
from monitoring.drift.series import Array, Scale, Series


def volume_series(rows: Rows, users: Array, *, share: float) -> Iterator[Series]:
    """Yield rows and distinct users a day, of everybody where the rows are those of a share of the users."""
    counts = rows.counts
    yield Series("volume", "population", Scale.AMOUNT, counts / share, counts, about="rows a day", is_volume=True)
    about = "distinct users a day"
    yield Series("users", "population", Scale.AMOUNT, users / share, users, about=about, is_volume=True)


def new_user_series(rows: Rows, *, window_days: int) -> Series:
    """Return the share of a day's users that were never seen before."""
    size = len(rows.users.names)
    day, user, _ = pair_counts(rows, rows.users.codes, size)
    first = np.full(size, len(rows.days))
    np.minimum.at(first, user, day)
    users = np.bincount(day, minlength=len(rows.days)).astype(np.float64)
    fresh = np.bincount(day, weights=(first[user] == day).astype(np.float64), minlength=len(rows.days))
    share = np.divide(fresh, users, out=np.full(len(users), np.nan), where=users > 0)
    share[:window_days] = np.nan
    about = "share of users never seen before"
    return Series("new_users_share", "population", Scale.SHARE, share, users, about=about, units=users)


def surface_series(rows: Rows, surfaces: Coded, names: list[str]) -> Iterator[Series]:
    """Yield the share of rows of each surface in `names`; none where there is only one surface."""
    if len(names) < 2:
        return
    total = rows.counts
    for name in names:
        code = int(np.flatnonzero(surfaces.names == name)[0])
        hits = rows.by_day(surfaces.codes == code)
        share = np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0)
        about = f"share of rows on surface {name}"
        yield Series("surface_share", "population", Scale.SHARE, share, total, slice=f"surface={name}", about=about)


def main_surfaces(rows: Rows, surfaces: Coded, *, limit: int, minimum_share: float, history: int) -> list[str]:
    """Return the surfaces that held at least `minimum_share` of the first `history` days' rows, largest first."""
    early = surfaces.codes[rows.day < history]
    counts = np.bincount(early, minlength=len(surfaces.names))
    order = np.lexsort((surfaces.names, -counts))[:limit]
    return [str(surfaces.names[c]) for c in order if counts[c] >= minimum_share * max(1, len(early))]
