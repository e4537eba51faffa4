"""Incidents: which results open, update or resolve one, and which of these transitions people hear about.

An incident groups every drifted figure of one (model, family). A transition is what is left after grouping, hold-down,
silence and acknowledgement; each becomes one alert.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from monitoring.incident import (
    Incident,
    IncidentError,
    IncidentState,
    Silence,
    Transition,
    TransitionKind,
    figure_of,
    incident_document,
    incident_from,
    size_of,
)
from monitoring.result import OUTLIVES_MODEL, CheckResult, Status

__all__ = [
    "Advance",
    "Incident",
    "IncidentConfig",
    "IncidentError",
    "IncidentState",
    "Silence",
    "Transition",
    "TransitionKind",
    "acknowledge",
    "advance",
    "figure_of",
    "incident_document",
    "incident_from",
]


class IncidentConfig(BaseModel):
    """When an incident opens, ends and is spoken of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolve_seconds: float = Field(0, ge=0)
    """An incident resolves once all its figures have been in order for this long (hold-down)."""
    notice_seconds: float = Field(300, ge=0)
    """At most one opening or update of a group is announced in this time; the newest state is told afterwards."""
    reopen_seconds: float = Field(300, ge=0)
    """A group that drifts again within this time of its resolution is the same incident, told as an update."""
    growth: float = Field(1.5, gt=1)
    """An update is told when a figure joins, or the largest size has grown by this factor since it was last told."""
    worsening: float = Field(2.0, gt=1)
    """An acknowledged incident is told again when its largest size, or the number of its figures, has grown by this
    factor since it was last told."""


@dataclass(frozen=True)
class Advance:
    """What a run of the monitor changed.

    Attributes:
        incidents: Every incident given or opened, with its new state.
        transitions: What to announce, in order.
    """

    incidents: tuple[Incident, ...]
    transitions: tuple[Transition, ...]


def advance(
    incidents: Sequence[Incident],
    results: Iterable[CheckResult],
    *,
    model: str,
    now: datetime,
    config: IncidentConfig,
    silences: Sequence[Silence] = (),
) -> Advance:
    """Apply the results of one run.

    A figure leaves its incident when its result is `ok` or `learning`; `insufficient` and a missing result leave it
    as it is, since no data is never good data. A figure that outlives the model (what people do of what they are shown)
    learns anew under a new model, and then leaves only when it has come back at least half of its way: otherwise a
    retrain that helped nothing would end the incident.

    Args:
        incidents: Open incidents, and resolved ones young enough to reopen; of any model.
        results: Results of this run, for `model`.
        model: Which model's figures the results are; empty for the data.
        now: Time of the run.
        config: When an incident opens, ends and is spoken of.
        silences: Groups that nobody is told about.
    """
    by_family: dict[str, list[CheckResult]] = {}
    for result in results:
        by_family.setdefault(result.family, []).append(replace(result, history=None))
    mine = {one.family: one for one in sorted(incidents, key=lambda one: one.opened_at) if one.model == model}
    advanced: list[Incident] = []
    transitions: list[Transition] = []
    for family in sorted(by_family.keys() | mine.keys()):
        before = _still_relevant(mine.get(family), now=now, config=config)
        after = _merge(before, by_family.get(family, []), model=model, family=family, now=now, config=config)
        if after is None:
            continue
        is_silent = any(silence.covers(after, now=now) for silence in silences)
        kind = _announcement(after, is_silent=is_silent, now=now, config=config)
        if kind is not None:
            after = _told(after, kind, now=now)
            transitions.append(Transition(_key(after, kind), kind, after, now))
        advanced.append(after)
    ids = {one.incident_id for one in advanced}
    return Advance((*(one for one in incidents if one.incident_id not in ids), *advanced), tuple(transitions))


def acknowledge(incident: Incident, *, by: str, note: str = "", now: datetime) -> Advance:
    """Take care of an incident: updates are kept back until it worsens, and its resolution is told.

    Args:
        incident: An open incident.
        by: Who takes care.
        note: What they say about it.
        now: When they say so.

    Returns:
        The incident, and the transition that tells of it where people know of the incident.

    Raises:
        IncidentError: It is resolved, or nobody is named.
    """
    if incident.state is IncidentState.RESOLVED:
        raise IncidentError(
            f"incident {incident.incident_id!r} resolved at {incident.resolved_at:%Y-%m-%d %H:%M} UTC; only an open"
            " one can be acknowledged. `everfeed alerts list` shows those."
        )
    if not by.strip():
        raise IncidentError(f"nobody is named ({by!r}) who takes care of incident {incident.incident_id!r}. Give --by.")
    taken = replace(incident, acknowledged_by=by.strip(), acknowledged_at=now, acknowledged_note=note.strip())
    if not taken.told_figures:
        return Advance((taken,), ())
    taken = replace(taken, sequence=taken.sequence + 1)
    kind = TransitionKind.ACKNOWLEDGED
    return Advance((taken,), (Transition(_key(taken, kind), kind, taken, now),))


def _still_relevant(incident: Incident | None, *, now: datetime, config: IncidentConfig) -> Incident | None:
    if incident is None or incident.resolved_at is None:
        return incident
    return incident if now - incident.resolved_at <= timedelta(seconds=config.reopen_seconds) else None


def _merge(
    incident: Incident | None,
    results: Sequence[CheckResult],
    *,
    model: str,
    family: str,
    now: datetime,
    config: IncidentConfig,
) -> Incident | None:
    """Return the incident with this run's results; None where there is nothing to speak of."""
    drifted = {figure_of(result): result for result in results if result.status is Status.DRIFT}
    if incident is None:
        return _open(drifted, model=model, family=family, now=now) if drifted else None
    earlier = {figure_of(one): one for one in incident.results}
    settled = {figure_of(one) for one in results if _is_settled(one, earlier.get(figure_of(one)))}
    kept = {figure_of(one): one for one in incident.results if figure_of(one) not in settled} | drifted
    merged = replace(incident, results=_ordered(kept))
    if merged.results != incident.results:
        merged = replace(merged, changed_at=now)
    if kept:
        return replace(merged, state=IncidentState.OPEN, quiet_since=None, resolved_at=None)
    if incident.state is IncidentState.RESOLVED:
        return None
    quiet_since = incident.quiet_since or now
    if now - quiet_since < timedelta(seconds=config.resolve_seconds):
        return replace(merged, quiet_since=quiet_since)
    return replace(merged, quiet_since=quiet_since, state=IncidentState.RESOLVED, resolved_at=now)


def _is_settled(result: CheckResult, earlier: CheckResult | None) -> bool:
    if result.status is not Status.LEARNING or earlier is None or not result.details.get(OUTLIVES_MODEL):
        return result.status in {Status.OK, Status.LEARNING}
    if result.value is None or earlier.value is None or earlier.expected is None:
        return False
    moved = earlier.value - earlier.expected
    return (result.value - earlier.expected) * moved <= 0.5 * moved**2


def _open(drifted: Mapping[str, CheckResult], *, model: str, family: str, now: datetime) -> Incident:
    digest = hashlib.sha256(f"{model}|{family}|{now.isoformat()}".encode()).hexdigest()
    return Incident(digest[:16], model, family, IncidentState.OPEN, _ordered(drifted), opened_at=now, changed_at=now)


def _announcement(
    incident: Incident, *, is_silent: bool, now: datetime, config: IncidentConfig
) -> TransitionKind | None:
    if incident.state is IncidentState.RESOLVED:
        return TransitionKind.RESOLVED if incident.told_figures else None
    if is_silent or not incident.results:
        return None
    if incident.told_at is None:
        return TransitionKind.OPENED
    if now - incident.told_at < timedelta(seconds=config.notice_seconds):
        return None
    figures = incident.told_figures | {figure_of(result) for result in incident.results}
    if incident.acknowledged_by:
        factor = config.worsening
        is_news = len(figures) >= factor * len(incident.told_figures) or incident.size > factor * incident.told_size
    else:
        is_news = figures > incident.told_figures or incident.size > config.growth * incident.told_size
    return TransitionKind.UPDATED if is_news else None


def _told(incident: Incident, kind: TransitionKind, *, now: datetime) -> Incident:
    incident = replace(incident, sequence=incident.sequence + 1)
    if kind is TransitionKind.RESOLVED:
        return replace(incident, told_figures=frozenset(), told_size=0.0)
    figures = incident.told_figures | {figure_of(result) for result in incident.results}
    return replace(incident, told_at=now, told_figures=figures, told_size=max(incident.told_size, incident.size))


def _ordered(results: Mapping[str, CheckResult]) -> tuple[CheckResult, ...]:
    return tuple(sorted(results.values(), key=lambda one: (-size_of(one), figure_of(one))))


def _key(incident: Incident, kind: TransitionKind) -> str:
    return f"{incident.incident_id}-{incident.sequence}-{kind.value}"
