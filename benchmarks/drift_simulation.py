"""Targets of the drift decision beside what simulated days measure: `python -m benchmarks.drift_simulation`.

Series and tables of events are drawn here; figures, scales and decisions are those of `monitoring.drift`. 60 runs of
100 days by default; `--full` takes 300. The targets name no world: plain, heavy-tailed and autocorrelated days are all
held to them.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as progress_of

from benchmarks.drift_replay import replay
from benchmarks.drift_worlds import EVENT_DAYS, FAULT_DAY, FAULTS, LEARNING, NOISE, ROWS, event_table, item_table, noise
from benchmarks.table import Figure, report
from monitoring.drift.checks import schema as schema_check
from monitoring.drift.cusum import CusumConfig, Track, run
from monitoring.drift.figures import daily_figures
from monitoring.drift.judge import DriftConfig, judge_figures
from monitoring.drift.series import Scale, Series

DEVELOPMENT_SEED = 20261121
"""What the settings were chosen on; a seed that nobody has looked at says more about them."""
STABLE_DAYS = 100
SHIFT_DAYS = 12
CONFIG = CusumConfig()
Floats = NDArray[np.float64]


def main(arguments: list[str] | None = None) -> int:
    """Run the simulation and print the table; 0 when every target holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60, help="simulated series of 100 days (default 60)")
    parser.add_argument("--tables", type=int, default=5, help="simulated tables of events (default 5)")
    parser.add_argument("--full", action="store_true", help="300 runs and 20 tables")
    parser.add_argument("--seed", type=int, default=DEVELOPMENT_SEED, help="source of chance")
    parser.add_argument("--movielens", type=Path, help="ML-100K (folder, or the wheel that holds it) to replay as well")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    runs, tables = (300, 20) if options.full else (options.runs, options.tables)
    figures = list(measure(runs=runs, tables=tables, seed=options.seed))
    if options.movielens is not None:
        figures += [Figure(line.figure, "-", line.measured, None, line.note) for line in replay(options.movielens)]
    return report(figures, as_json=options.json)


def measure(*, runs: int, tables: int, seed: int = DEVELOPMENT_SEED) -> Iterator[Figure]:
    """Yield every line of the table."""
    for num_figures in (20, 200):
        yield from stable(num_figures, runs=runs, seed=seed)
        yield _delay(num_figures, 0.2, by=2, runs=runs, seed=seed)
        yield _delay(num_figures, 0.1, by=3 if num_figures == 20 else 4, runs=runs, seed=seed)
        yield _delay(num_figures, 0.05, by=None, runs=runs, seed=seed)
    yield from (_nulls(runs, seed), _calibration(runs, seed, rate=0.3), _calibration(runs, seed, rate=0.1))
    yield from events(tables, seed=seed)
    yield schema()


def stable(num_figures: int, *, runs: int, seed: int = DEVELOPMENT_SEED) -> Iterator[Figure]:
    """Count incidents and alarm-days of suites that nothing happens to, in plain and in harder worlds."""
    for world in NOISE:
        incidents, days = [], []
        for number in _progress(range(runs), f"stable, {num_figures} figures, {world}"):
            rng = np.random.default_rng([seed, num_figures, number])
            values, weekend = noise(world, days=LEARNING + STABLE_DAYS, series=num_figures, rng=rng)
            alarm = _judge(values, weekend, num_figures).is_alarm
            opened = alarm[1:] & ~alarm[:-1]
            incidents.append(int(opened.sum()))
            days.append(int(alarm.any(axis=1).sum()))
        yield from _stable_lines(num_figures, world, np.asarray(incidents), np.asarray(days))


def _stable_lines(num_figures: int, world: str, incidents: NDArray[np.int64], days: NDArray[np.int64]) -> list[Figure]:
    note = f"mean of {len(incidents)} runs of 100 days; p95 {np.quantile(incidents, 0.95):.0f}, most {incidents.max()}"
    alarm_note = f"days on which any figure is in alarm; p95 {np.quantile(days, 0.95):.0f}, most {days.max()}"
    name = f"{num_figures} figures, stable, {world}"
    return [
        Figure(f"{name}: false incidents", "<= 1", f"{incidents.mean():.2f}", bool(incidents.mean() <= 1), note),
        Figure(f"{name}: alarm-days", "<= 3", f"{days.mean():.2f}", bool(days.mean() <= 3), alarm_note),
    ]


def _delay(num_figures: int, shift: float, *, by: int | None, runs: int, seed: int = DEVELOPMENT_SEED) -> Figure:
    """Shift one figure of a suite by so many sigmas of a row and count the days until it alarms."""
    rng = np.random.default_rng([seed, num_figures, round(1000 * shift)])
    values, weekend = noise("plain", days=LEARNING + SHIFT_DAYS, series=runs, rng=rng)
    values[LEARNING:] += shift
    return _delays(f"{num_figures} figures, {shift} sigma", _judge(values, weekend, num_figures), by=by)


def _nulls(runs: int, seed: int = DEVELOPMENT_SEED) -> Figure:
    """Raise the nulls of a column from 1 to 3 % of the rows."""
    rng = np.random.default_rng([seed, 1])
    shares = np.where(np.arange(LEARNING + SHIFT_DAYS) < LEARNING, 0.01, 0.03)
    values = rng.binomial(ROWS, np.repeat(shares[:, None], runs, axis=1)) / ROWS
    return _delays(
        "nulls 1 -> 3 %", _judge_series(values, Scale.SHARE, num_figures=200), by=1, note="as one of 200 figures"
    )


def _calibration(runs: int, seed: int, *, rate: float) -> Figure:
    """Make outcomes 10 % likelier than the scores say; the scores follow the days' own ups and downs."""
    rng = np.random.default_rng([seed, 2, round(1000 * rate)])
    days = LEARNING + SHIFT_DAYS
    predicted = rate * np.exp(rng.normal(0, 0.05, size=(days, runs)))
    truth = predicted * np.where(np.arange(days) < LEARNING, 1.0, 1.1)[:, None]
    ratio = rng.binomial(ROWS, np.minimum(truth, 1.0)) / ROWS / predicted
    judged = _judge_series(ratio, Scale.AMOUNT, num_figures=20)
    return _delays(f"calibration off by 10 %, outcome rate {rate}", judged, by=2, note="observed over predicted")


def events(tables: int, *, seed: int = DEVELOPMENT_SEED) -> Iterator[Figure]:
    """Put faults into tables of events; figures are computed from the rows, then judged."""
    delays: dict[str, list[float]] = {name: [] for name in FAULTS}
    false = []
    for number in _progress(range(tables), "tables of events"):
        rng = np.random.default_rng([seed, 3, number])
        table, items = event_table(rng), item_table()
        for name, fault in FAULTS.items():
            judged = judge_figures(daily_figures(fault.put(table, items, number), items), DriftConfig())
            alarm = judged.track.is_alarm
            hit = np.asarray([judged.figures.series[key].family in fault.families for key in judged.keys])
            found = np.flatnonzero(alarm[FAULT_DAY:, hit].any(axis=1))
            delays[name].append(float(found[0] + 1) if len(found) else np.inf)
            false.append(int(alarm[:FAULT_DAY].any()))
    for name, values in delays.items():
        note = f"{tables} tables of {EVENT_DAYS} days, {ROWS} rows a day, {FAULTS[name].words}"
        yield _delay_line(name, np.asarray(values), by=FAULTS[name].by, note=note)
    note = f"days {LEARNING} to {FAULT_DAY} of the same tables, before the fault"
    yield Figure("tables of events: suites in alarm before the fault", "0", str(sum(false)), sum(false) == 0, note)


def schema() -> Figure:
    """Change a column's type and drop another."""
    table = event_table(np.random.default_rng(0)).slice(0, ROWS)
    column = table.schema.get_field_index("watch_seconds")
    changed = table.set_column(column, "watch_seconds", table["watch_seconds"].cast(pa.string()))
    broken = (changed, table.drop_columns(["clicked"]))
    config = schema_check.Config()
    results = [
        schema_check.check(table, other, items=item_table(), config=config)[0].status for other in (*broken, table)
    ]
    holds = results == ["drift", "drift", "ok"]
    return Figure(
        "changed schema", "the same run", "the same run" if holds else f"{results}", holds, "a type; a column gone"
    )


def _judge(values: Floats, weekend: NDArray[np.bool_], num_figures: int, *, floors: Floats | None = None) -> Track:
    ones = np.ones_like(values)
    floors = np.full_like(values, 1 / np.sqrt(ROWS)) if floors is None else floors
    return run(
        values,
        usable=ones.astype(bool),
        units=ones,
        floors=floors,
        weekend=weekend,
        config=CONFIG,
        num_figures=num_figures,
    )


def _judge_series(values: Floats, scale: Scale, *, num_figures: int) -> Track:
    rows = np.full(len(values), float(ROWS))
    series = [Series("simulated", "data", scale, column, rows) for column in values.T]
    scaled, floors = (np.stack(each, axis=1) for each in zip(*((s.scaled(), s.floor()) for s in series), strict=True))
    return _judge(scaled, np.arange(len(values)) % 7 >= 5, num_figures, floors=floors)


def _delays(name: str, track: Track, *, by: int | None, note: str = "") -> Figure:
    alarm = track.is_alarm[LEARNING:]
    days = np.where(alarm.any(axis=0), alarm.argmax(axis=0) + 1.0, np.inf)
    return _delay_line(name, days, by=by, note=f"{len(days)} runs" + (f", {note}" if note else ""))


def _delay_line(name: str, days: Floats, *, by: int | None, note: str) -> Figure:
    p95 = float(np.quantile(days, 0.95, method="higher"))
    measured = f"day {p95:.0f}" if np.isfinite(p95) else "missed"
    words = f"{note}; median day {np.quantile(days, 0.5, method='higher'):.0f}, found {np.isfinite(days).mean():.0%}"
    target = "-" if by is None else "the same day" if by == 1 else f"by day {by} (p95)"
    return Figure(f"{name}: found", target, measured, None if by is None else bool(p95 <= by), words)


def _progress(numbers: range, words: str) -> Iterator[int]:
    yield from progress_of(numbers, description=f"{words:44}", console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    sys.exit(main())
