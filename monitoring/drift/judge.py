"""From daily figures to results: which figure moved, by how much, since when, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from monitoring.drift.cusum import CusumConfig, Track, run
from monitoring.drift.series import Array, Figures, Scale, Series
from monitoring.result import BAND_SPREADS, COUNTS_ROWS, CheckResult, FigureHistory, Finding, Status

_DRAWN_DAYS = 60
"""Days of a figure that are handed on for drawing."""
_FRIDAY_TO_SATURDAY = 5
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, Monday being 0

_CAUSES: Mapping[str, tuple[str, str]] = {
    "data": (
        "the data: a changed unit, scale or default, or a broken pipeline",
        "Compare the last ingest with the one before; do not retrain on these days until it is explained",
    ),
    "population": (
        "the population: other users, surfaces or traffic than before",
        "See which users and surfaces grew or went; retrain if the change is wanted and lasts",
    ),
    "catalogue": (
        "the catalogue: attention moved to other items, categories or creators",
        "See which items took the share; rule out a campaign or a bot farm, then retrain",
    ),
    "model": (
        "the model: its scores or its slates are not what they were",
        "Compare with the champion before it; roll back if it began with a release, else retrain",
    ),
    "serving": (
        "the serving: errors, fallbacks or latency",
        "Look at the gateway and its last release first",
    ),
}


class DriftConfig(CusumConfig):
    """When a figure has drifted."""

    has_weekly_term: bool = True
    """Weekdays and weekends have levels of their own; False for a history that was not lived day by day."""
    relearn_from: dict[str, date] = Field(default_factory=dict)
    """Figures (by key or name) whose history before a date is forgotten: how a person accepts a new level."""


@dataclass(frozen=True)
class Judgement:
    """Every figure judged on every day.

    Attributes:
        figures: What was judged.
        keys: The figures in the order of the track's columns.
        track: The decision by day and figure.
        is_usable: (D, S) the day had enough rows for the figure.
    """

    figures: Figures
    keys: tuple[str, ...]
    track: Track
    is_usable: NDArray[np.bool_]

    def results(self, day: int = -1) -> list[CheckResult]:
        """Return the result of each figure at the end of a day, given as its number; the last day by default."""
        number = range(len(self.figures.days))[day]
        return [self._result(column, number) for column in range(len(self.keys))]

    def histories(self) -> list[FigureHistory]:
        """Return the newest days of each figure with the band that its past allowed, for drawing."""
        return [self._history(column) for column in range(len(self.keys))]

    def _history(self, column: int) -> FigureHistory:
        series = self.figures.series[self.keys[column]]
        newest = slice(-_DRAWN_DAYS, None)
        centre = np.where(self.track.is_judged[newest, column], self.track.expected[newest, column], np.nan)
        width = BAND_SPREADS * self.track.spread[newest, column]
        days: list[date] = self.figures.days[newest].astype("datetime64[D]").tolist()
        return FigureHistory(
            days=tuple(days),
            values=_known(series.values[newest]),
            centre=_natural(series, centre),
            lower=_natural(series, centre - width),
            upper=_natural(series, centre + width),
        )

    def _result(self, column: int, day: int) -> CheckResult:
        series = self.figures.series[self.keys[column]]
        status = self._status(column, day)
        value = float(series.values[day])
        judged = status in {Status.OK, Status.DRIFT}
        expected = series.unscaled(float(self.track.expected[day, column])) if judged else None
        size = float(self.track.residual[day, column]) if judged else None
        since = None
        if status is Status.DRIFT:
            first, size = self.track.change(day, column)
            since = _midnight(self.figures.days[first])
        seen = _seen(series, status, value=value, expected=expected, size=size, since=since, rows=series.rows[day])
        finding = None if since is None else _finding(series.family, seen)
        return CheckResult(
            figure=series.name,
            family=series.family,
            status=status,
            value=value if np.isfinite(value) else None,
            expected=expected,
            size=size,
            since=since,
            slice=series.slice,
            message=finding.sentences() if finding else seen,
            details=self._details(column, day, judged=judged),
            finding=finding,
        )

    def _status(self, column: int, day: int) -> Status:
        if not self.is_usable[day, column]:
            return Status.INSUFFICIENT
        if self.track.is_learning[day, column]:
            return Status.LEARNING
        return Status.DRIFT if self.track.is_alarm[day, column] else Status.OK

    def _details(self, column: int, day: int, *, judged: bool) -> dict[str, float]:
        rows = {
            "rows": float(self.figures.series[self.keys[column]].rows[day]),
            "users": float(self.figures.users[day]),
        }
        if self.figures.series[self.keys[column]].is_volume:
            rows[COUNTS_ROWS] = 1.0
        if not judged:
            return rows
        return rows | {
            "statistic": float(self.track.statistic[day, column]),
            "threshold": float(self.track.threshold[day, column]),
            "residual": float(self.track.residual[day, column]),
        }


def judge_figures(figures: Figures, config: DriftConfig, *, is_last_day_partial: bool = False) -> Judgement:
    """Judge every figure on every day, each day from itself and earlier days only.

    Args:
        figures: Daily figures, history and current days together.
        config: When a figure has drifted.
        is_last_day_partial: The last day is still running: what counts rows is insufficient on it.
    """
    keys = tuple(figures.series)
    series = [figures.series[key] for key in keys]
    usable = np.stack([_usable(one, figures, config) for one in series], axis=1)
    if is_last_day_partial:
        usable[-1] &= ~np.asarray([one.is_volume for one in series])
    track = run(
        np.stack([one.scaled() for one in series], axis=1),
        usable=usable,
        units=np.stack([_units(one, figures) for one in series], axis=1),
        floors=np.stack([one.floor() for one in series], axis=1),
        weekend=((figures.days.astype(np.int64) + _EPOCH_WEEKDAY) % 7 >= _FRIDAY_TO_SATURDAY) & config.has_weekly_term,
        config=config,
        num_figures=len(keys),
    )
    return Judgement(figures, keys, track, usable)


def check_figures(
    figures: Figures, config: DriftConfig | None = None, *, is_last_day_partial: bool = False
) -> list[CheckResult]:
    """Return what the last day says about every figure, with the days before it for drawing; see `judge_figures`."""
    judgement = judge_figures(figures, config or DriftConfig(), is_last_day_partial=is_last_day_partial)
    results = zip(judgement.results(), judgement.histories(), strict=True)
    return [replace(result, history=history) for result, history in results]


def _units(series: Series, figures: Figures) -> Array:
    if series.is_volume:
        return np.ones(len(figures.days))
    return figures.effective_users if series.units is None else series.units


def _usable(series: Series, figures: Figures, config: DriftConfig) -> NDArray[np.bool_]:
    usable = np.isfinite(series.values)
    if not series.is_volume:
        rows = figures.rows if series.units is not None else series.rows
        usable &= (rows >= config.minimum_rows) & (figures.users >= config.minimum_users)
    forget = config.relearn_from.get(series.key, config.relearn_from.get(series.name))
    if forget is not None:
        usable &= figures.days >= np.datetime64(forget, "D")
    return usable


def _seen(
    series: Series,
    status: Status,
    *,
    value: float,
    expected: float | None,
    size: float | None,
    since: datetime | None,
    rows: float,
) -> str:
    name = series.about or series.name
    where = f" ({series.slice})" if series.slice and series.slice.split("=", 1)[-1] not in name else ""
    if status is Status.INSUFFICIENT and series.is_volume:
        return f"{name}{where}: {rows:.0f} so far; the day still runs."
    if status is Status.INSUFFICIENT and rows == 0:
        return f"{name}{where}: no row of the day has a value, so there is nothing to judge."
    if status is Status.INSUFFICIENT:
        return f"{name}{where}: {rows:.0f} rows are too few to judge the day."
    if status is Status.LEARNING:
        return f"{name}{where}: {_number(series, value)}; its history is still too short to judge it."
    assert expected is not None
    assert size is not None
    now = f"{name}{where}: {_number(series, value)}, expected {_number(series, expected)}"
    if since is None:
        return f"{now} ({size:+.1f} of its day-to-day spread)."
    return f"{now}; {size:+.1f} of its day-to-day spread on average since {since:%Y-%m-%d}."


def _finding(family: str, seen: str) -> Finding:
    cause, action = _CAUSES[family]
    return Finding(seen, cause, f"{action}.")


def _number(series: Series, value: float) -> str:
    return f"{value:.2%}" if series.scale is Scale.SHARE else f"{value:.4g}"


def _midnight(day: np.datetime64) -> datetime:
    return datetime.combine(day.astype("datetime64[D]").item(), datetime.min.time(), tzinfo=UTC)


def _known(values: Array) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def _natural(series: Series, values: Array) -> tuple[float | None, ...]:
    """Return values of the judged scale in natural units."""
    return tuple(series.unscaled(float(value)) if np.isfinite(value) else None for value in values)
