"""Drift of what the models serve: their scores, their promise, their lists, and how the gateway made them.

The figures are those of everything the champion answered, at its time; a canary's answers are judged elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from monitoring.drift import _population, _scores, _slates
from monitoring.drift._rows import Rows, encode, encode_rows, numbers, pair_counts
from monitoring.drift._vectors import Anchors, vector_series
from monitoring.drift.alignment import OWN_DAYS, align
from monitoring.drift.judge import DriftConfig, check_figures
from monitoring.drift.series import Figures, Series
from monitoring.result import OUTLIVES_MODEL, CheckResult, Finding, Status
from recmodels.assignment import Arm
from recmodels.data import schema

__all__ = [
    "Anchors",
    "Served",
    "ServedConfig",
    "check_served",
    "clicked_within",
    "served_figures",
    "shown_by_champions",
]

_KEYS = (schema.REQUEST_ID, schema.ITEM_ID)
_NEEDED = (schema.SCORE, schema.LATENCY_SECONDS)
_NOTHING = "no champion showed anybody anything: nothing can be said about what is served. See whether requests arrive."


class ServedConfig(DriftConfig):
    """Which figures of the served lists there are, and when one has drifted."""

    label: str = schema.CLICKED
    """Outcome that the scores are held against."""
    label_window_seconds: float = Field(1800, ge=0)
    """Time after which an impression has matured, whatever came of it."""
    own_days: int = Field(OWN_DAYS, ge=1)
    """Days of its own from which a model's level and calibration are learned."""
    cold_days: int = Field(7, ge=1)
    """An item first shown within as many days is cold."""
    surfaces: int = Field(6, ge=0)
    """Surfaces with figures of their own, the largest first."""
    minimum_surface_share: float = Field(0.02, ge=0, le=1)
    """A surface with a smaller share of the impressions gets no figure of its own."""


@dataclass(frozen=True)
class Served:
    """What the gateway showed, and what came of it.

    Attributes:
        impressions: Rows in the schema `IMPRESSIONS`.
        outcomes: Rows in the schema `OUTCOMES`.
        as_of: The present: what is younger than the label window has not matured.
        champion_days: Days on which another model became champion, ascending.
        anchors: Item vectors for the figures of embeddings; None leaves those out.
    """

    impressions: pa.Table
    outcomes: pa.Table
    as_of: datetime
    champion_days: Sequence[date] = field(default_factory=tuple)
    anchors: Anchors | None = None


def check_served(served: Served, config: ServedConfig) -> list[CheckResult]:
    """Judge the last day of what was served by the days before it.

    Returns:
        One result a figure; a single one, `insufficient`, where nothing was served to people, and a single one,
        `drift`, where a table is not in its schema, so that no figure can be computed. The estimate of the
        outcome rate says whether it can be trusted: not while the calibration drifts, since the scores then promise
        what no longer holds.
    """
    changes = [
        *_changes(served.impressions, schema.IMPRESSIONS, table_name="impressions"),
        *_changes(served.outcomes, schema.OUTCOMES, table_name="outcomes"),
    ]
    if changes:
        return [_changed(changes)]
    shown = shown_by_champions(served.impressions)
    if not shown.num_rows:
        return [CheckResult("served", "serving", Status.INSUFFICIENT, message=_NOTHING)]
    figures = served_figures(replace(served, impressions=shown), config)
    is_partial = served.as_of.date() == figures.days[-1].astype("datetime64[D]").item()
    results = check_figures(figures, config, is_last_day_partial=is_partial)
    return _marked(results, label=config.label, is_new=_is_new(served, figures, config))


def served_figures(served: Served, config: ServedConfig) -> Figures:
    """Compute the daily figures of impressions and what came of them.

    Raises:
        DataError: There are no impressions, or a required column is missing.
    """
    rows = encode_rows(served.impressions.append_column(schema.USER_ID, served.impressions[schema.USER_KEY]))
    day, _, count = pair_counts(rows, rows.users.codes, len(rows.users.names))
    users = np.bincount(day, minlength=len(rows.days))
    squares = np.bincount(day, weights=count**2, minlength=len(rows.days))
    begins = [int((np.datetime64(one, "D") - rows.days[0]).astype(int)) for one in served.champion_days]
    series = [
        align(one, begins, own_days=config.own_days) if one.family == "model" else one
        for one in _series(rows, served, config)
    ]
    return Figures(
        days=rows.days,
        rows=rows.counts.astype(np.int64),
        users=users,
        effective_users=rows.counts**2 / np.maximum(squares, 1.0),
        series={one.key: one for one in series},
    )


def _series(rows: Rows, served: Served, config: ServedConfig) -> Iterator[Series]:
    scores = numbers(rows.table[schema.SCORE])
    is_scored = ~rows.table[schema.IS_FALLBACK].to_numpy()
    labels = _labels(rows, served, config)
    model = encode(rows.table[schema.MODEL_VERSION]).codes
    yield from _scores.score_series(rows, scores, is_scored)
    yield _scores.rate_series(rows, labels)
    yield from _scores.promise_series(rows, scores, labels, keep=is_scored, model=model, learning_days=config.own_days)
    yield from _slates.slate_series(rows, window_days=config.cold_days)
    yield from _slates.request_series(rows)
    yield from _by_surface(rows, labels, config)
    if served.anchors is not None:
        yield from vector_series(rows, served.anchors, history_days=config.learning_days)


def _by_surface(rows: Rows, labels: _scores.Labels, config: ServedConfig) -> Iterator[Series]:
    surfaces = encode(rows.table[schema.SURFACE])
    names = _population.main_surfaces(
        rows,
        surfaces,
        limit=config.surfaces,
        minimum_share=config.minimum_surface_share,
        history=config.learning_days,
    )
    for name in names if len(names) > 1 else ():
        inside = surfaces.codes == int(np.flatnonzero(surfaces.names == name)[0])
        yield _scores.rate_series(rows, labels, keep=inside, part=f"surface={name}")


def shown_by_champions(impressions: pa.Table) -> pa.Table:
    """Return what people were shown by the champion of the time: no replay, and no canary."""
    is_person = pc.equal(impressions[schema.ORIGIN], schema.ORIGIN_EVENT)
    is_shown = pc.and_(is_person, pc.not_equal(impressions[schema.ARM], Arm.CANARY.value))
    return impressions if pc.all(is_shown, min_count=0).as_py() else impressions.filter(is_shown)


def clicked_within(
    impressions: pa.Table, outcomes: pa.Table, *, label: str = schema.CLICKED, window_seconds: float = 1800
) -> NDArray[np.bool_]:
    """Return whether the outcome `label` followed each impression within the window, (E,)."""
    is_label = pc.and_(pc.equal(outcomes[schema.KIND], label), pc.greater(outcomes[schema.VALUE], 0.0))
    first = outcomes.filter(is_label).group_by(list(_KEYS)).aggregate([(schema.TIMESTAMP, "min")])
    shown_at = pc.cast(impressions[schema.TIMESTAMP], pa.int64()).to_numpy()
    place = _find(first, impressions)
    times = np.append(pc.cast(first[f"{schema.TIMESTAMP}_min"], pa.int64()).to_numpy(), np.iinfo(np.int64).max)
    return np.asarray((place >= 0) & (times[place] <= shown_at + int(window_seconds * 1e6)))


def _labels(rows: Rows, served: Served, config: ServedConfig) -> _scores.Labels:
    """Join each impression to its outcome within the label window."""
    seconds = config.label_window_seconds
    is_hit = clicked_within(rows.table, served.outcomes, label=config.label, window_seconds=seconds)
    limit = int((served.as_of - timedelta(seconds=seconds)).timestamp() * 1e6)
    shown_at = pc.cast(rows.table[schema.TIMESTAMP], pa.int64()).to_numpy()
    return _scores.Labels(is_hit.astype(np.float64), shown_at <= limit, config.label)


def _find(outcomes: pa.Table, impressions: pa.Table) -> NDArray[np.int64]:
    """Return the row of `outcomes` of each impression, (E,), or -1."""
    keyed = outcomes.select(list(_KEYS)).append_column("row", pa.array(np.arange(outcomes.num_rows)))
    is_answered = pc.is_in(impressions[schema.REQUEST_ID], value_set=pc.unique(outcomes[schema.REQUEST_ID]))
    places = np.flatnonzero(is_answered.to_numpy())  # a join copies its input: few lists have an outcome
    numbered = impressions.select(list(_KEYS)).take(pa.array(places)).append_column("place", pa.array(places))
    joined = numbered.join(keyed, keys=list(_KEYS), join_type="inner")
    found = np.full(impressions.num_rows, -1, dtype=np.int64)
    found[joined["place"].to_numpy()] = joined["row"].to_numpy()
    return found


def _changes(table: pa.Table, target: pa.Schema, *, table_name: str) -> list[str]:
    """Return which columns of a table are gone or of another type than its schema says, in words."""
    found = []
    for column in target:
        if column.name not in table.column_names:
            if not column.nullable or column.name in _NEEDED:
                found.append(f"{table_name}.{column.name} is gone")
        elif table.schema.field(column.name).type != column.type:
            found.append(f"{table_name}.{column.name} was {column.type} and is {table.schema.field(column.name).type}")
    return found


def _changed(changes: Sequence[str]) -> CheckResult:
    seen = f"schema of what is served changed: {'; '.join(changes)}; no figure can be computed."
    finding = Finding(seen, "the data: a producer changed", "fix it, and write the window again.")
    return CheckResult(
        "served_schema",
        "data",
        Status.DRIFT,
        float(len(changes)),
        0.0,
        message=finding.sentences(),
        finding=finding,
    )


def _is_new(served: Served, figures: Figures, config: ServedConfig) -> bool:
    """Say whether the model that serves is too young for its scores to promise anything yet."""
    last = figures.days[-1].astype("datetime64[D]").item()
    newest = max((day for day in served.champion_days if day <= last), default=figures.days[0].item())
    return bool((last - newest).days < config.own_days)


def _marked(results: Sequence[CheckResult], *, label: str, is_new: bool) -> list[CheckResult]:
    """Say of the estimate that it is one, and whether it can be trusted; of a rate, that it outlives the model.

    What a new model's scores promise is not known yet: that is learning, and not too little data.
    """
    promised = (_scores.CALIBRATION, _scores.ESTIMATE)
    results = [
        replace(one, status=Status.LEARNING, message=f"{one.message} A new model serves, whose scores are learned.")
        if is_new and one.figure in promised and one.status is Status.INSUFFICIENT
        else one
        for one in results
    ]
    results = [
        replace(one, details={**one.details, OUTLIVES_MODEL: 1.0}) if one.figure == f"{label}_rate" else one
        for one in results
    ]
    is_shifted = any(one.figure == _scores.CALIBRATION and one.status is Status.DRIFT for one in results)
    words = " Untrusted: the calibration drifts, so the scores no longer foretell this rate." if is_shifted else ""
    return [
        replace(
            one,
            message=f"{one.message}{words}",
            finding=one.finding and replace(one.finding, seen=f"{one.finding.seen}{words}"),
            details={**one.details, "is_estimate": 1.0, "is_trusted": float(not is_shifted)},
        )
        if one.figure == _scores.ESTIMATE
        else one
        for one in results
    ]
