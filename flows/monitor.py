"""Figures of the newest days against their own history -> incidents, alerts, and a report that a person opens."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, JsonValue

from flows.channels import ChannelChoice, default_channels
from flows.deliver import deliver
from flows.references import Monitored
from flows.retries import is_worth_retrying
from flows.wiring import platform
from infra.outbox_records import AlertRecord, IncidentRecord
from infra.rollout_records import Champion
from monitoring.alerts.alert import alert_of
from monitoring.drift.report import write_report
from monitoring.drift.suite import run_checks
from monitoring.incidents import (
    Advance,
    Incident,
    IncidentConfig,
    Silence,
    advance,
    incident_document,
    incident_from,
)
from monitoring.policy import PolicyConfig, PolicyState
from monitoring.policy import decide as decide_policy
from monitoring.result import CheckResult, Status
from recmodels.data.schema import TIMESTAMP
from recmodels.errors import StoreError
from recmodels.manifest import verify

_log = logging.getLogger(__name__)

_REPORT_DAYS = 7


class MonitorConfig(BaseModel):
    """What the monitor looks at, and what may follow from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: dict[str, dict[str, JsonValue]] = {}
    """Options by drift check; a check that is not named has its defaults."""
    incidents: IncidentConfig = IncidentConfig()
    policy: PolicyConfig = PolicyConfig()


class Judged(BaseModel):
    """What one run of the checks found."""

    model_config = ConfigDict(frozen=True)

    results: tuple[CheckResult, ...]
    as_of: datetime
    action: str
    reasons: tuple[str, ...]


@flow(name="monitor", description="Figures of the newest days against their own history.", persist_result=False)
def monitor(
    config: MonitorConfig = MonitorConfig(),  # noqa: B008 - frozen
    extra: Path | None = None,
    channels: dict[str, ChannelChoice] | None = None,
) -> Monitored:
    """Judge the newest days, open or resolve incidents, send alerts, and draw the report.

    Args:
        config: Thresholds and limits.
        extra: Replayed interactions (Parquet) that follow the lake's; nothing but alerts follows from them.
        channels: Alert channels by name; those of the settings when left out.

    Raises:
        StoreError: Nothing was ingested yet.
    """
    judged = judge_window(config, extra)
    opened = open_incidents(judged, config, channels or default_channels(platform().settings))
    report = draw_report(judged, extra)
    delivered = deliver(channels)
    describe(judged, report)
    if extra is None:
        follow(judged)
    return _outcome(judged, opened=opened, report=report, delivered=delivered)


@task(name="judge figures")
def judge_window(config: MonitorConfig, extra: Path | None) -> Judged:
    """Run every drift check over the lake, the newest days against all days before them."""
    reference, current = _windows(extra)
    home = platform()
    now, as_of = datetime.now(UTC), pc.max(current[TIMESTAMP]).as_py()
    options = {"own_history": {"is_last_day_partial": as_of.date() == now.date()}} | config.checks
    results = run_checks(reference, current, items=home.lake.read("items"), options=options)
    decision = decide_policy(results, _policy_state(reference, current), config.policy, now=now)
    return Judged(results=tuple(results), as_of=as_of, action=decision.action, reasons=decision.reasons)


@task(name="update incidents", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def open_incidents(judged: Judged, config: MonitorConfig, channels: dict[str, ChannelChoice]) -> tuple[str, ...]:
    """Write what changed and the alerts that tell of it in one transaction; return the ids of what is open."""
    home, now = platform(), datetime.now(UTC)
    records = {record.incident_id: record for record in home.outbox.incidents(resolved_after=now - timedelta(days=30))}
    silences = [Silence(s.model, s.family, s.until, s.reason) for s in home.outbox.silences(now=now)]
    change = advance(
        [incident_from(record.document) for record in records.values()],
        judged.results,
        model="",
        now=now,
        config=config.incidents,
        silences=silences,
    )
    alerts = _alerts(change, link=f"{home.settings.console_url}/reports/drift/report.html")
    changed = [_record(incident, records, now=now) for incident in change.incidents]
    home.outbox.record(changed, alerts, channels=list(channels), now=now)
    return tuple(incident.incident_id for incident in change.incidents if incident.state == "open")


@task(name="draw report", retries=1, retry_condition_fn=is_worth_retrying)
def draw_report(judged: Judged, extra: Path | None) -> Path:
    """Draw Evidently's report of the newest days beside as many days before them."""
    home = platform()
    reference, current = _windows(extra)
    folder = home.settings.reports
    return write_report(
        reference.filter(pc.greater_equal(reference[TIMESTAMP], pa.scalar(_start(judged) - timedelta(days=28)))),
        current,
        folder / "drift" / "report.html",
        items=home.lake.read("items"),
        workspace=folder / "evidently",
        as_of=judged.as_of,
    )


@task(name="describe monitor run")
def describe(judged: Judged, report: Path) -> None:
    """Leave a summary with a link to the report."""
    url = platform().settings.console_url
    drifted = [result for result in judged.results if result.status == Status.DRIFT]
    rows = "".join(f"- **{result.figure}** {result.message}\n" for result in drifted) or "Nothing drifted.\n"
    create_markdown_artifact(
        key="monitored",
        markdown=(
            f"# {judged.as_of:%Y-%m-%d}: {judged.action}\n\n{' '.join(judged.reasons)}\n\n{rows}\n"
            f"[Evidently report]({url}/reports/drift/{report.name})\n"
        ),
        description="What moved",
    )


@task(name="follow the policy")
def follow(judged: Judged) -> None:
    """Do what the policy decided: undo the last release, or ask for a retrain."""
    home = platform()
    words = " ".join(judged.reasons)
    if judged.action == "roll_back":
        champion = home.rollouts.champion()
        assert champion is not None, "the policy rolls back only a release that serves"
        assert champion.rollout_id is not None, "the policy rolls back only what a rollout made champion"
        home.rollouts.roll_back(
            champion.rollout_id, fencing=None, now=datetime.now(UTC), by="monitor", reason=f"drift: {words}"
        )
    elif judged.action == "retrain":
        ask_for_retrain(words)


def ask_for_retrain(reason: str) -> None:
    """Start the daily lifecycle now, with its cause recorded; without its deployment, say how to start it."""
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        run_deployment("daily/daily", parameters={"cause": f"drift: {reason}"}, timeout=0, as_subflow=False)
    except ObjectNotFound:
        _log.warning("a retrain is due, and nothing runs schedules; start them with `everfeed up`: %s", reason)


def _windows(extra: Path | None) -> tuple[pa.Table, pa.Table]:
    """Return all days before the newest ones, and the newest ones."""
    lake = platform().lake
    if lake.version("interactions") is None:
        raise StoreError(f"the lake at {platform().settings.lake} holds no interactions. Ingest with `everfeed run`.")
    rows = lake.read("interactions")
    if extra is not None:
        rows = pa.concat_tables([rows, pq.read_table(extra)], promote_options="default")
    start = pa.scalar(pc.max(rows[TIMESTAMP]).as_py() - timedelta(days=_REPORT_DAYS))
    is_new = pc.greater_equal(rows[TIMESTAMP], start)
    return rows.filter(pc.invert(is_new)), rows.filter(is_new)


def _start(judged: Judged) -> datetime:
    return judged.as_of - timedelta(days=_REPORT_DAYS)


def _policy_state(reference: pa.Table, current: pa.Table) -> PolicyState:
    home = platform()
    champion: Champion | None = home.rollouts.champion()
    if champion is None:
        return PolicyState()
    return PolicyState(
        new_labelled_rows=_rows_since(home.settings.bundles, champion.digest, reference, current),
        champion_since=champion.since,
        has_previous_champion=len(home.rollouts.history()) > 1,
        is_busy=home.rollouts.active() is not None,
    )


def _rows_since(bundles: Path, digest: str, *tables: pa.Table) -> int:
    trained_until = verify(bundles, digest).trained_until
    return sum(table.filter(pc.greater_equal(table[TIMESTAMP], pa.scalar(trained_until))).num_rows for table in tables)


def _alerts(change: Advance, *, link: str) -> list[AlertRecord]:
    alerts = [alert_of(transition, link=link) for transition in change.transitions]
    return [AlertRecord(alert.key, alert.incident_id, alert.document()) for alert in alerts]  # type: ignore[arg-type]


def _record(incident: Incident, known: dict[str, IncidentRecord], *, now: datetime) -> IncidentRecord:
    before = known.get(incident.incident_id)
    return IncidentRecord(
        incident_id=incident.incident_id,
        model=incident.model,
        family=incident.family,
        state=incident.state,
        opened_at=incident.opened_at,
        changed_at=now,
        document=incident_document(incident),  # type: ignore[arg-type]
        revision=before.revision if before else 0,
    )


def _outcome(judged: Judged, *, opened: Sequence[str], report: Path, delivered: Sequence[str]) -> Monitored:
    drifted = [result for result in judged.results if result.status == Status.DRIFT]
    worst = max(drifted, key=lambda result: abs(result.size or 0.0), default=None)
    count = {status: sum(result.status == status for result in judged.results) for status in Status}
    return Monitored(
        figures=len(judged.results),
        drifted=tuple(result.figure for result in drifted),
        learning=count[Status.LEARNING],
        insufficient=count[Status.INSUFFICIENT],
        figure=worst.figure if worst else None,
        size=worst.size if worst else None,
        since=worst.since if worst else None,
        words=worst.message if worst else " ".join(judged.reasons),
        action=judged.action,
        opened=tuple(opened),
        report=report,
        delivered=tuple(delivered),
    )
