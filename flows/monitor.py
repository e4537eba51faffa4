"""Figures of the newest days against their own history -> incidents, alerts, and a report that a person opens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flows.channels import ChannelChoice, channel_names
from flows.clock import utc_now
from flows.collect import MATURITY
from flows.deliver import deliver
from flows.drawing import DRAWN_DAYS, DRAWN_ROWS, Drawn, describe, draw_reports
from flows.failures import explained
from flows.following import Decided, decide, follow, keep_figures
from flows.incidents import RESOLVED_DAYS, check_retrains, record_change, report_link, silences_of
from flows.observed import Window, read_served, read_window
from flows.references import Monitored
from flows.retrains import RetrainConfig, start_retrains
from flows.retries import is_worth_retrying
from flows.wiring import Platform, platform
from monitoring.drift.served import Served, ServedConfig, check_served
from monitoring.drift.suite import run_checks
from monitoring.drift.workspace import KeepConfig
from monitoring.incidents import Advance, IncidentConfig, advance, incident_from
from monitoring.policy import PolicyConfig
from monitoring.result import CheckResult, Status
from recmodels.data.schema import ORIGIN_EVENT, TIMESTAMP, TIMESTAMP_TYPE

_NEW_DAYS = 7
_CHAMPION = "champion"
"""Whose figures incidents of what is served are about; they outlive the model that served when they opened."""


class MonitorConfig(BaseModel):
    """What the monitor looks at, and what may follow from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: dict[str, dict[str, JsonValue]] = {}
    """Options by drift check; a check that is not named has its defaults."""
    served: ServedConfig = ServedConfig()
    """Figures of what the models serve."""
    incidents: IncidentConfig = IncidentConfig()
    policy: PolicyConfig = PolicyConfig()
    retrain: RetrainConfig = RetrainConfig()
    """What a retrain trains, and the terms of its model's rollout."""
    draws: bool = True
    """Draw Evidently's reports, which costs more than the judging; without, there are decisions and alerts alone."""
    reports: KeepConfig = KeepConfig()
    """Which reports the Evidently workspace keeps."""
    history_days: int = Field(400, ge=1)
    """Days before the newest ones that are read."""
    rows: int = Field(4_000_000, ge=1000)
    """About as many events are read, and as many impressions: those of a share of the users where there are more."""


class Judged(BaseModel):
    """What one run of the checks found."""

    model_config = ConfigDict(frozen=True)

    results: tuple[CheckResult, ...]
    """Of the data."""
    served: tuple[CheckResult, ...] = ()
    """Of what the champion serves."""
    as_of: datetime
    share: float = 1.0
    """Share of the users that was read."""
    decided: Decided

    @property
    def all_results(self) -> tuple[CheckResult, ...]:
        """Both, the data first."""
        return (*self.results, *self.served)


@flow(name="monitor", description="Figures of the newest days against their own history.", persist_result=False)
@explained("monitor")
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
    opened = open_incidents(judged, config, list(channels or ()))
    drawn = draw(config, extra) if config.draws else None
    delivered = deliver(channels)
    if drawn is not None:
        describe(judged.as_of, judged.all_results, drawn, heading=judged.decided.action, reasons=judged.decided.reasons)
    if extra is None:
        follow(judged.decided)
        start_retrains(config.retrain)
    return _outcome(judged, opened=opened, report=drawn.report if drawn else None, delivered=delivered)


@task(name="judge figures")
def judge_window(config: MonitorConfig, extra: Path | None) -> Judged:
    """Run every drift check over the lake, the newest days against all days before them."""
    home, now = platform(), utc_now()
    window = _read(config, extra)
    champion_days = [one.since for one in home.rollouts.history()] if serves_people(home) else []
    options: dict[str, dict[str, JsonValue]] = {
        "own_history": {
            "is_last_day_partial": window.as_of.date() == now.date(),
            "figures": {"share": window.share},
            "champion_days": [f"{day:%Y-%m-%d}" for day in champion_days],
        }
    }
    results = run_checks(
        window.reference, window.current, items=home.lake.read("items"), options=_merged(options, config.checks)
    )
    as_of, share = window.as_of, window.share
    del window  # as large as what was served, which is read next
    served = [] if extra else check_served(_served(config, now=now), config.served)
    decided = decide([*results, *served], config.policy, extra=extra)
    if extra is None:
        keep_figures(home, [*results, *served], as_of=as_of, decided=decided, now=now)
    return Judged(
        results=tuple(replace(one, history=None) for one in results),
        served=tuple(replace(one, history=None) for one in served),
        as_of=as_of,
        share=share,
        decided=decided,
    )


@task(name="update incidents", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def open_incidents(judged: Judged, config: MonitorConfig, channels: Sequence[str]) -> tuple[str, ...]:
    """Write what changed and the alerts that tell of it in one transaction; return the ids of what is open.

    Args:
        judged: What the checks found.
        config: When an incident opens, ends and is spoken of.
        channels: Names of the channels that are told; empty for those of the settings.
    """
    home, now = platform(), utc_now()
    told = channels or channel_names(home.settings, earlier=[state.channel for state in home.outbox.channels()])
    known = home.outbox.incidents(resolved_after=now - timedelta(days=RESOLVED_DAYS))
    silences = silences_of(home.outbox, now=now)
    before = [incident_from(record.document) for record in known]
    of_data = advance(before, judged.results, model="", now=now, config=config.incidents, silences=silences)
    of_model = advance(
        of_data.incidents, judged.served, model=_CHAMPION, now=now, config=config.incidents, silences=silences
    )
    change = Advance(of_model.incidents, (*of_data.transitions, *of_model.transitions))
    record_change(home.outbox, change, known, channels=told, link=report_link(home.settings), now=now)
    check_retrains(home.outbox, home.retrains.all(), told, now=now, link=home.settings.console_url)
    return tuple(incident.incident_id for incident in change.incidents if incident.state == "open")


@task(name="draw reports", retries=1, retry_condition_fn=is_worth_retrying)
def draw(config: MonitorConfig, extra: Path | None) -> Drawn:
    """Draw Evidently's reports of the newest days; what cannot be drawn is said, and ends nothing."""
    seen = {"history_days": min(config.history_days, DRAWN_DAYS), "rows": min(config.rows, DRAWN_ROWS)}
    config = config.model_copy(update=seen)
    served = None if extra else _served(config, now=utc_now())
    return draw_reports(platform(), _read(config, extra), served, config.reports)


def _read(config: MonitorConfig, extra: Path | None) -> Window:
    home = platform()
    window = read_window(home, extra=extra, days=_NEW_DAYS, history_days=config.history_days, rows=config.rows)
    return settled(window, before=utc_now() - MATURITY) if extra is None and serves_people(home) else window


def serves_people(home: Platform) -> bool:
    """Say whether people meet the gateway, so that what they do comes to the lake when it has matured."""
    return home.lake.version("impressions") is not None or home.events.is_waiting(origin=ORIGIN_EVENT)


def settled(window: Window, *, before: datetime) -> Window:
    """Leave out the days whose events have not all come: what the gateway saw moves to the lake when it has matured.

    Args:
        window: Events up to the newest one.
        before: What was served before this moment has moved.
    """
    midnight = before.replace(hour=0, minute=0, second=0, microsecond=0)
    whole = pc.less(window.current[TIMESTAMP], pa.scalar(midnight, TIMESTAMP_TYPE))
    return replace(window, current=window.current.filter(whole)) if pc.any(whole).as_py() else window


def _served(config: MonitorConfig, *, now: datetime) -> Served:
    return read_served(platform(), now=now, history_days=config.history_days, rows=config.rows)


def _merged(
    options: dict[str, dict[str, JsonValue]], given: dict[str, dict[str, JsonValue]]
) -> dict[str, dict[str, JsonValue]]:
    """Return the options of each check, those of a person before what the windows say."""
    return {name: {**options.get(name, {}), **given.get(name, {})} for name in options.keys() | given.keys()}


def _outcome(judged: Judged, *, opened: Sequence[str], report: Path | None, delivered: Sequence[str]) -> Monitored:
    drifted = [result for result in judged.all_results if result.status == Status.DRIFT]
    worst = max(drifted, key=lambda result: abs(result.size or 0.0), default=None)
    count = {status: sum(result.status == status for result in judged.all_results) for status in Status}
    return Monitored(
        figures=len(judged.all_results),
        drifted=tuple(result.figure for result in drifted),
        learning=count[Status.LEARNING],
        insufficient=count[Status.INSUFFICIENT],
        figure=worst.figure if worst else None,
        size=worst.size if worst else None,
        since=worst.since if worst else None,
        words=worst.message if worst else judged.decided.words,
        action=judged.decided.action,
        opened=tuple(opened),
        report=report,
        delivered=tuple(delivered),
    )
