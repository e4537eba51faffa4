"""What becomes of incidents is written with the alerts that tell of it, in one transaction, by whoever changes them."""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from pydantic import JsonValue, TypeAdapter

from infra.outbox import AlertRecord, IncidentRecord, Outbox
from infra.retrains import Retrain
from infra.settings import Settings
from monitoring.alerts.alert import alert_of
from monitoring.alerts.disk import DISK_FAMILY, DISK_MODEL, disk_result
from monitoring.alerts.health import (
    DELIVERY_FAMILY,
    DELIVERY_MODEL,
    ChannelHealth,
    HealthConfig,
    channel_results,
    is_dead,
)
from monitoring.alerts.retraining import RETRAINING_FAMILY, RETRAINING_MODEL, retraining_result
from monitoring.incidents import (
    Advance,
    Incident,
    IncidentConfig,
    IncidentError,
    Silence,
    acknowledge,
    advance,
    incident_document,
    incident_from,
)
from monitoring.result import CheckResult
from recmodels.errors import StoreError

RESOLVED_DAYS = 30
"""How long a resolved incident is read again."""

_ATTEMPTS = 5
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_DOCUMENT = TypeAdapter(dict[str, JsonValue])


def report_link(settings: Settings) -> str:
    """Return the address of the report that an alert of the monitor links to."""
    return f"{settings.console_url}/reports/drift/report.html"


def link_of(incident: Incident, settings: Settings) -> str:
    """Return what a person opens about an incident: the report, or where it is not about drift the control room."""
    is_drift = incident.family not in {DELIVERY_FAMILY, DISK_FAMILY, RETRAINING_FAMILY}
    return report_link(settings) if is_drift else settings.console_url


def record_change(
    outbox: Outbox,
    change: Advance,
    known: Sequence[IncidentRecord],
    *,
    channels: Collection[str],
    link: str,
    now: datetime,
) -> dict[str, IncidentRecord]:
    """Write the incidents that changed, and one alert a transition for each channel, in one transaction.

    Args:
        outbox: Where to.
        change: What a run found.
        known: The incidents as they were read: one that somebody changed since is refused.
        channels: Names of the channels that are told.
        link: What a person opens.
        now: The moment of the change.

    Returns:
        What was written, by incident, as it would be read now.

    Raises:
        StoreError: Somebody else changed an incident meanwhile. Read again, and decide anew.
    """
    before = {record.incident_id: record for record in known}
    changed = [
        _record(incident, before.get(incident.incident_id), now=now)
        for incident in change.incidents
        if incident.incident_id not in before or incident_from(before[incident.incident_id].document) != incident
    ]
    alerts = [alert_of(transition, link=link) for transition in change.transitions]
    records = [
        AlertRecord(alert.key, alert.incident_id, _DOCUMENT.validate_python(alert.document())) for alert in alerts
    ]
    if changed or records:
        outbox.record(changed, records, channels=list(channels), now=now)
    return {one.incident_id: replace(one, revision=one.revision + 1) for one in changed}


def silences_of(outbox: Outbox, *, now: datetime) -> list[Silence]:
    """Return the silences that hold now."""
    return [Silence(one.model, one.family, one.until, one.reason) for one in outbox.silences(now=now)]


def acknowledge_incident(
    outbox: Outbox,
    incident_id: str,
    *,
    by: str,
    note: str,
    channels: Collection[str],
    settings: Settings,
    clock: Callable[[], datetime],
) -> Incident:
    """Take care of an incident; who changed it at the same moment is waited for.

    Raises:
        StoreError: There is no such incident, or it changed at every attempt.
        IncidentError: It is resolved, or nobody is named.
    """
    for is_last in [False] * (_ATTEMPTS - 1) + [True]:
        record, now = outbox.incident(incident_id), clock()
        change = acknowledge(incident_from(record.document), by=by, note=note, now=now)
        link = link_of(change.incidents[0], settings)
        try:
            record_change(outbox, change, [record], channels=channels, link=link, now=now)
        except StoreError:
            if is_last:
                raise
        else:
            break
    return change.incidents[0]


def check_channels(
    outbox: Outbox,
    channels: Sequence[str],
    *,
    now: datetime,
    link: str,
    problems: Mapping[str, str] = MappingProxyType({}),
    health: HealthConfig = HealthConfig(),  # noqa: B008 - frozen
    config: IncidentConfig = IncidentConfig(),  # noqa: B008 - frozen
) -> None:
    """Open, update or resolve the incident of the channels themselves; a dead one is told of through the others.

    Args:
        outbox: Where alerts wait.
        channels: The channels that are open.
        now: The present.
        link: What a person opens.
        problems: Why others cannot be opened, by name.
        health: When a channel is spoken of.
        config: When an incident is.

    Raises:
        StoreError: The store cannot be used.
    """
    states = {state.channel: state for state in outbox.channels()}
    seen = [
        ChannelHealth(name, state.failing_since, state.last_error, state.refused_at, state.refusal)
        for name in channels
        if (state := states.get(name)) is not None
    ]
    seen += [ChannelHealth(name, problem=problem) for name, problem in problems.items()]
    dead = {one.channel for one in seen if is_dead(one, now=now, config=health)}
    alive = [name for name in channels if name not in dead]
    _update(
        outbox,
        DELIVERY_MODEL,
        lambda before: channel_results(seen, before, now=now, config=health),
        channels=alive or channels,
        now=now,
        link=link,
        config=config,
    )


def check_retrains(
    outbox: Outbox,
    retrains: Sequence[Retrain],
    channels: Sequence[str],
    *,
    now: datetime,
    link: str,
    config: IncidentConfig = IncidentConfig(),  # noqa: B008 - frozen
) -> None:
    """Open, update or resolve the incident of retraining itself.

    Args:
        outbox: Where alerts wait.
        retrains: Every retrain, the newest first.
        channels: The channels that are told.
        now: The present.
        link: What a person opens.
        config: When an incident is.

    Raises:
        StoreError: The store cannot be used.
    """
    lasting = {record.incident_id for record in outbox.incidents()}
    results = [
        retraining_result(
            one.retrain_id,
            outcome=one.outcome,
            words=one.words,
            ended_at=one.ended_at,
            is_wanted=not lasting.isdisjoint(one.incident_ids),
        )
        for one in retrains
        if one.ended_at is not None
    ]
    _update(outbox, RETRAINING_MODEL, lambda _: results[:1], channels=channels, now=now, link=link, config=config)


def check_disk(
    outbox: Outbox,
    channels: Sequence[str],
    *,
    settings: Settings,
    now: datetime,
    config: IncidentConfig = IncidentConfig(),  # noqa: B008 - frozen
) -> None:
    """Open, update or resolve the incident of the disk that the home is on.

    Raises:
        StoreError: The store cannot be used, such as once the disk is full.
    """
    usage = shutil.disk_usage(settings.root)
    result = disk_result(str(settings.root), free=usage.free, total=usage.total)
    link = settings.console_url
    _update(outbox, DISK_MODEL, lambda _: [result], channels=channels, now=now, link=link, config=config)


def find_incident(outbox: Outbox, start: str) -> IncidentRecord:
    """Return the incident whose id begins with `start`.

    Raises:
        IncidentError: None does, or more than one.
    """
    found = [one for one in outbox.incidents(resolved_after=_EVER) if one.incident_id.startswith(start)]
    advice = "`everfeed alerts list --all` shows those there are."
    if not start or not found:
        raise IncidentError(f"no incident's id begins with {start!r}. {advice}")
    if len(found) > 1:
        names = ", ".join(one.incident_id for one in found[:5])
        raise IncidentError(f"{len(found)} incidents' ids begin with {start!r} ({names}): give more of it. {advice}")
    return found[0]


def _update(
    outbox: Outbox,
    model: str,
    judge: Callable[[Sequence[Incident]], Sequence[CheckResult]],
    *,
    channels: Sequence[str],
    now: datetime,
    link: str,
    config: IncidentConfig,
) -> None:
    """Bring the incidents of Everfeed's own parts in line with what `judge` says, given those there are."""
    known = [one for one in outbox.incidents(resolved_after=now - timedelta(days=1)) if one.model == model]
    before = [incident_from(record.document) for record in known]
    silences = silences_of(outbox, now=now)
    change = advance(before, judge(before), model=model, now=now, config=config, silences=silences)
    record_change(outbox, change, known, channels=channels, link=link, now=now)


def _record(incident: Incident, before: IncidentRecord | None, *, now: datetime) -> IncidentRecord:
    return IncidentRecord(
        incident_id=incident.incident_id,
        model=incident.model,
        family=incident.family,
        state=incident.state,
        opened_at=incident.opened_at,
        changed_at=now,
        document=_DOCUMENT.validate_python(incident_document(incident)),
        revision=before.revision if before else 0,
    )
