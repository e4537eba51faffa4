"""A home with a year behind it, for the control room to show: `fill` writes through the stores as their owners do."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import insert

from infra.audit_log import audit_log
from infra.database import Database
from infra.event_records import ServedRequest
from infra.events import EventStore, user_key
from infra.figures import FigureRecord, FigureStore
from infra.histories import HistoryEvent, HistoryStore
from infra.lake import Lake
from infra.outbox import Outbox
from infra.outbox_records import AlertRecord, IncidentRecord
from infra.rollouts import ModelReference, Plan, RecordedVerdict, RolloutStore
from infra.settings import Settings
from infra.takedowns import TakedownStore
from monitoring.canary.arms import CanaryConfig
from monitoring.incident import Incident, IncidentState, incident_document
from monitoring.quarantine import keep_back
from monitoring.result import CheckResult, Finding, Status
from recmodels.data import schema
from tests.infra.gateway_home import ITEM_IDS, constant_scorer, items_table, next_item_scorer, write

USER = "ann"
ROLLOUTS, INCIDENTS, RECORDS, REQUESTS, FIGURES, DRAWN_DAYS = 183, 1000, 5000, 20_000, 80, 60
_LOOKS_ACTIVE, _LOOKS_PAST = 864, 40
"""Looks every five minutes for three days; of rollouts that are over, as many as matter to the size of a table."""
_FAMILIES = ("data", "population", "catalogue", "model", "serving")


def fill(settings: Settings, database: Database, *, rng: random.Random, now: datetime) -> None:
    """Write a year of rollouts, incidents, figures, records and requests."""
    settings.bundles.mkdir(parents=True, exist_ok=True)
    champion = write(settings.bundles, next_item_scorer(), name="champion")
    _rollouts(settings, database, champion, rng=rng, now=now)
    _incidents(Outbox(database), rng=rng, now=now)
    _figures(settings, rng=rng, now=now)
    _records(database, rng=rng, now=now)
    _requests(settings, database, rng=rng, now=now)
    _lake(settings, now=now)
    TakedownStore(database).block(["film-07", "film-09"], reason="a complaint", by="gateway:shop", now=now)


def _rollouts(settings: Settings, database: Database, champion: str, *, rng: random.Random, now: datetime) -> None:
    """A rollout every other day; two of three are promoted, and the last one is active."""
    store = RolloutStore(database)
    since = now - timedelta(days=2 * ROLLOUTS)
    store.set_bootstrap_champion(ModelReference(champion, 1), now=since, by="release", reason="bootstrap")
    config = CanaryConfig(steps=(0.05, 0.25, 0.5)).model_dump(mode="json")
    for number in range(1, ROLLOUTS):
        began = since + timedelta(days=2 * number)
        is_last = number == ROLLOUTS - 1
        scorer = constant_scorer(float(number))
        model = ModelReference(write(settings.bundles, scorer, name=f"challenger-{number}"), number + 1)
        plan = Plan(f"rollout-{number}", model, steps=(0.05, 0.25, 0.5), config=config, cause="schedule")
        rollout = store.start(plan, now=began, by="canary controller")
        looks = _looks(_LOOKS_ACTIVE if is_last else _LOOKS_PAST, began, rng)
        for look in looks:
            store.record_verdict(plan.rollout_id, look, fencing=rollout.fencing)
        if is_last:
            return
        end, words = looks[-1].at + timedelta(minutes=5), looks[-1].words
        if number % 3:
            store.promote(plan.rollout_id, fencing=rollout.fencing, now=end, by="canary controller", reason=words)
        else:
            store.roll_back(plan.rollout_id, fencing=rollout.fencing, now=end, by="canary controller", reason=words)


def _looks(count: int, began: datetime, rng: random.Random) -> list[RecordedVerdict]:
    words = (
        "Continue by rule too_early: the lower bound is below -5.0%; 'clicked' per impression is 0.2326 on the canary"
        " and 0.2270 on the control, +2.5%, at any number of looks between -4.1% and +9.0%; next, the canary stays."
    )
    return [
        RecordedVerdict(
            at=began + timedelta(minutes=5 * number),
            step=min(3 * number // (count + 1), 2),
            action="continue",
            rule="too_early",
            words=words,
            users_canary=40 * number,
            users_control=40 * number,
            estimate=0.0056 + rng.gauss(0, 0.02) / number**0.5,
            lower=0.0056 - 0.5 / number**0.5,
            upper=0.0056 + 0.5 / number**0.5,
            relative=0.025,
            e_values={"error": 1.5, "slow": 0.7, "short": 1.0, "fallback": 0.4, "hidden": 2.5, "sample_ratio": 0.9},
        )
        for number in range(1, count + 1)
    ]


def _incidents(outbox: Outbox, *, rng: random.Random, now: datetime) -> None:
    """A thousand over the year, the newest twelve open, each with three alerts on two channels."""
    for number in range(INCIDENTS):
        opened = now - timedelta(days=365) * (1 - number / INCIDENTS)
        is_open = number >= INCIDENTS - 12
        family = _FAMILIES[number % len(_FAMILIES)]
        results = tuple(_result(family, f"figure_{rng.randrange(40)}", opened) for _ in range(4))
        incident = Incident(
            incident_id=f"incident-{number:04d}",
            model="champion" if number % 2 else "",
            family=family,
            state=IncidentState.OPEN,
            results=results,
            opened_at=opened,
            changed_at=opened,
        )
        if not is_open:
            ended = min(opened + timedelta(hours=9), now)
            incident = replace(incident, state=IncidentState.RESOLVED, results=(), resolved_at=ended, changed_at=ended)
        record = IncidentRecord(
            incident.incident_id,
            incident.model,
            family,
            incident.state.value,
            opened,
            incident.changed_at,
            incident_document(incident),  # type: ignore[arg-type]
        )
        keys = ("opened", "updated", "resolved")
        alerts = [AlertRecord(f"{incident.incident_id}-{key}", incident.incident_id, {"title": key}) for key in keys]
        outbox.record([record], alerts, channels=["log", "webhook"], now=opened)


def _result(family: str, figure: str, since: datetime) -> CheckResult:
    seen = f"{figure}: 32.65%, expected 2.87%; +8.2 of its day-to-day spread on average since {since:%Y-%m-%d}."
    finding = Finding(seen, "the data: a changed unit, scale or default, or a broken pipeline", "Compare the ingests.")
    words = finding.sentences()
    return CheckResult(figure, family, Status.DRIFT, 0.33, 0.03, 8.2, since, message=words, finding=finding)


def _figures(settings: Settings, *, rng: random.Random, now: datetime) -> None:
    days = tuple((now - timedelta(days=DRAWN_DAYS - 1 - n)).date() for n in range(DRAWN_DAYS))
    records = []
    for number in range(FIGURES):
        values = tuple(100 + rng.gauss(0, 3) for _ in days)
        is_drift = number % 16 == 0
        records.append(
            FigureRecord(
                name=f"figure_{number}",
                family=_FAMILIES[number % len(_FAMILIES)],
                slice="" if number % 2 else "surface=live",
                status="drift" if is_drift else "ok",
                value=values[-1],
                expected=100.0,
                size=8.0 if is_drift else values[-1] / 3 - 100 / 3,
                since=now if is_drift else None,
                words="it moved",
                days=days,
                values=values,
                centre=(100.0,) * DRAWN_DAYS,
                lower=tuple(94 - rng.random() for _ in days),
                upper=tuple(106 + rng.random() for _ in days),
            )
        )
    FigureStore(settings.figures).write(records, as_of=now, action="retrain", reasons=["five figures moved."], now=now)


def _records(database: Database, *, rng: random.Random, now: datetime) -> None:
    rows = [
        {
            "at": now - timedelta(days=365) * (1 - number / RECORDS),
            "actor": rng.choice(["cli:ana", "console:owner", "console:ben", "gateway:shop"]),
            "action": rng.choice(["canary promote", "canary abort", "alerts ack", "pause", "resume", "takedown"]),
            "subject": f"rollout-{number % ROLLOUTS}",
            "outcome": "done" if number % 9 else "refused",
            "words": "Version 12 is champion. The gateway follows within a second. Why: the guardrails are quiet.",
        }
        for number in range(RECORDS)
    ]
    with database.begin() as connection:
        connection.execute(insert(audit_log), rows)


def _requests(settings: Settings, database: Database, *, rng: random.Random, now: datetime) -> None:
    secret = settings.user_secret()
    keys = [user_key(f"user-{number}", secret) for number in range(4000)] + [user_key(USER, secret)]
    served = [_request(number, keys, rng, now) for number in range(REQUESTS)]
    store = EventStore(database)
    for start in range(0, REQUESTS, 2000):
        store.append_requests(served[start : start + 2000])
    events = [HistoryEvent(keys[-1], ITEM_IDS[n], now - timedelta(hours=30 - n), "video") for n in range(10, 25)]
    HistoryStore(database).append(events)


def _request(number: int, keys: Sequence[str], rng: random.Random, now: datetime) -> ServedRequest:
    items = tuple(rng.sample(ITEM_IDS, 10))
    return ServedRequest(
        request_id=f"request-{number}",
        timestamp=now - timedelta(seconds=4 * (REQUESTS - number)),
        user_key=keys[-1] if number % 2000 == 1999 else rng.choice(keys),
        surface="video",
        model_version="182",
        arm="rest",
        item_ids=items,
        scores=(0.5,) * 10,
        propensities=(1.0,) * 10,
        num_requested=10,
        latency_seconds=0.004,
        rollout_id="rollout-182",
        step=0,
    )


def _lake(settings: Settings, *, now: datetime) -> None:
    """Quarantined rows of a hundred batches, and items."""
    import pyarrow as pa

    lake = Lake(settings.lake)
    rows = items_table()
    for number in range(100):
        reasons = pa.array([f"rule {n % 4} broken" for n in range(rows.num_rows)])
        at = now - timedelta(days=100 - number)
        lake.append("quarantine", keep_back(rows, reasons=reasons, name="items", at=at), key=f"batch-{number}")
    assert schema.QUARANTINE.names, "what a quarantine holds is known"
