"""Figures of the newest days against their own history -> incidents, alerts, and a report that a person opens."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import flow, task
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flows.channels import ChannelChoice, channel_names
from flows.deliver import deliver
from flows.drawing import Drawn, describe, draw_reports
from flows.incidents import RESOLVED_DAYS, record_change, report_link, silences_of
from flows.observed import Window, read_served, read_window, rows_since
from flows.references import Monitored
from flows.retries import is_worth_retrying
from flows.wiring import platform
from infra.rollout_records import Champion
from monitoring.drift.served import Served, ServedConfig, check_served
from monitoring.drift.suite import run_checks
from monitoring.incidents import Advance, IncidentConfig, advance, incident_from
from monitoring.policy import PolicyConfig, PolicyState
from monitoring.policy import decide as decide_policy
from monitoring.result import CheckResult, Status
from recmodels.manifest import verify

_log = logging.getLogger(__name__)

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
    history_days: int = Field(400, ge=1)
    """Days before the newest ones that are read."""
    rows: int = Field(5_000_000, ge=1000)
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
    action: str
    reasons: tuple[str, ...]

    @property
    def all_results(self) -> tuple[CheckResult, ...]:
        """Both, the data first."""
        return (*self.results, *self.served)


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
    opened = open_incidents(judged, config, list(channels or ()))
    drawn = draw(config, extra)
    delivered = deliver(channels)
    describe(judged.as_of, judged.all_results, drawn, heading=judged.action, reasons=judged.reasons)
    if extra is None:
        follow(judged)
    return _outcome(judged, opened=opened, report=drawn.report, delivered=delivered)


@task(name="judge figures")
def judge_window(config: MonitorConfig, extra: Path | None) -> Judged:
    """Run every drift check over the lake, the newest days against all days before them."""
    home, now = platform(), datetime.now(UTC)
    window = _read(config, extra)
    options: dict[str, dict[str, JsonValue]] = {
        "own_history": {
            "is_last_day_partial": window.as_of.date() == now.date(),
            "figures": {"share": window.share},
        }
    }
    results = run_checks(
        window.reference, window.current, items=home.lake.read("items"), options=_merged(options, config.checks)
    )
    served = [] if extra else check_served(_served(config, now=now), config.served)
    state = _policy_state(extra)
    decision = decide_policy([*results, *served], state, config.policy, now=now)
    return Judged(
        results=tuple(results),
        served=tuple(served),
        as_of=window.as_of,
        share=window.share,
        action=decision.action,
        reasons=decision.reasons,
    )


@task(name="update incidents", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def open_incidents(judged: Judged, config: MonitorConfig, channels: Sequence[str]) -> tuple[str, ...]:
    """Write what changed and the alerts that tell of it in one transaction; return the ids of what is open.

    Args:
        judged: What the checks found.
        config: When an incident opens, ends and is spoken of.
        channels: Names of the channels that are told; empty for those of the settings.
    """
    home, now = platform(), datetime.now(UTC)
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
    return tuple(incident.incident_id for incident in change.incidents if incident.state == "open")


@task(name="draw reports", retries=1, retry_condition_fn=is_worth_retrying)
def draw(config: MonitorConfig, extra: Path | None) -> Drawn:
    """Draw Evidently's reports of the newest days; what cannot be drawn is said, and ends nothing."""
    served = None if extra else _served(config, now=datetime.now(UTC))
    return draw_reports(platform(), _read(config, extra), served)


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


def _read(config: MonitorConfig, extra: Path | None) -> Window:
    return read_window(platform(), extra=extra, days=_NEW_DAYS, history_days=config.history_days, rows=config.rows)


def _served(config: MonitorConfig, *, now: datetime) -> Served:
    return read_served(platform(), now=now, history_days=config.history_days, rows=config.rows)


def _merged(
    options: dict[str, dict[str, JsonValue]], given: dict[str, dict[str, JsonValue]]
) -> dict[str, dict[str, JsonValue]]:
    """Return the options of each check, those of a person before what the windows say."""
    return {name: {**options.get(name, {}), **given.get(name, {})} for name in options.keys() | given.keys()}


def _policy_state(extra: Path | None) -> PolicyState:
    home = platform()
    champion: Champion | None = home.rollouts.champion()
    if champion is None:
        return PolicyState()
    trained_until = verify(home.settings.bundles, champion.digest).trained_until
    return PolicyState(
        new_labelled_rows=rows_since(home.lake, trained_until, extra=extra),
        champion_since=champion.since,
        has_previous_champion=len(home.rollouts.history()) > 1,
        is_busy=home.rollouts.active() is not None,
    )


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
        words=worst.message if worst else " ".join(judged.reasons),
        action=judged.action,
        opened=tuple(opened),
        report=report,
        delivered=tuple(delivered),
    )
