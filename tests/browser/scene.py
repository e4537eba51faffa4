"""What lies behind a home that has run for three weeks, written through the stores as their owners write it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from flows.canary import start_canary
from flows.incidents import record_change
from flows.references import Candidate, Release
from flows.wiring import Platform
from infra.audit_log import AuditLog
from infra.figures import FigureRecord, FigureStore
from infra.rollouts import ModelReference, Plan, RecordedVerdict
from monitoring.canary.arms import CanaryConfig
from monitoring.incidents import IncidentConfig, advance, incident_from
from monitoring.quarantine import keep_back
from monitoring.result import CheckResult, Finding, Status
from recmodels.data import schema
from recmodels.presets import item_knn
from tests.browser.catalogue import items, watched_next, write

SEED = 20261122
CANARY = CanaryConfig(
    shadow=None,
    steps=(0.5,),
    minimum_users=130,
    minimum_step_seconds=0,
    label_window_seconds=0,
    deadline_seconds=3 * 86400,
    tuned_users=400,
)
"""Terms of a canary that a test can see through to its end."""
DAYS = 60
_PAST = ((2, "canary controller", True), (3, "canary controller", False), (4, "ana", True))
"""Rollouts that ended: the version, who ended it, and whether it was promoted."""
_FIGURES = (
    ("click_rate", "population", 0.112, 0.004),
    ("watch_seconds_mean", "population", 21.4, 0.9),
    ("sessions_per_user", "population", 2.31, 0.07),
    ("new_users", "population", 840.0, 45.0),
    ("rows", "data", 52_000.0, 2100.0),
    ("null_share:duration", "data", 0.013, 0.002),
    ("rating_mean", "data", 3.53, 0.03),
    ("items_shown", "catalogue", 3300.0, 160.0),
    ("share_of_top_1_percent", "catalogue", 0.184, 0.008),
    ("score_mean", "model", 0.42, 0.01),
    ("calibration_gap", "model", 0.011, 0.003),
    ("fallback_share", "serving", 0.004, 0.001),
)
MOVED = "rating_mean"


@dataclass(frozen=True)
class Scene:
    """What a test needs to know of the home.

    Attributes:
        platform: Its stores.
        champion: Digest of the model that serves.
        rng: Source of chance.
        now: When it was made.
    """

    platform: Platform
    champion: str
    rng: random.Random
    now: datetime


def past(platform: Platform, *, now: datetime) -> Scene:
    """Write three weeks: four champions and challengers, sixty days of figures, an incident that ended, records."""
    rng = random.Random(SEED)
    champion = _rollouts(platform, rng=rng, now=now)
    _figures(platform, rng=rng, now=now)
    judged(
        platform, [_result("null_share:duration", now - timedelta(days=6), 0.081, 0.013)], at=now - timedelta(days=6)
    )
    judged(platform, [_calm("null_share:duration")], at=now - timedelta(days=6, hours=-9))
    _records(platform, now=now)
    rows = items()
    kept = keep_back(
        rows.slice(0, 9),
        reasons=["duration is negative"] * 6 + ["title is longer than 2,000 characters"] * 3,
        name="items",
        at=now - timedelta(days=1),
    )
    platform.lake.append("quarantine", kept, key="batch")
    _ingested(platform, now=now)
    return Scene(platform, champion, rng, now)


def _ingested(platform: Platform, *, now: datetime) -> None:
    """An hour of exposures, and the page that tells how they were checked."""
    rows = [
        {
            "event_id": f"event-{number}",
            "user_id": f"viewer-{number % 40}",
            "item_id": f"film-{number % 30:02d}",
            "timestamp": now - timedelta(seconds=10 * number),
            "surface": "video",
            "origin": "event",
        }
        for number in range(360)
    ]
    table = pa.Table.from_pylist(rows, schema=schema.INTERACTIONS)
    platform.lake.append("interactions", table, key="an hour")
    page = platform.settings.reports / "data_docs" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<!doctype html><html lang=en><title>Data Docs</title><h1>Data Docs</h1>", "utf-8")


def begin_canary(scene: Scene) -> str:
    """Start the rollout of a challenger that begins too far along, and return its id."""
    version, digest = register(scene.platform, watched_next(first=4), recipe="sasrec", ndcg=0.291)
    candidate = Candidate(
        recipe=item_knn().model_copy(update={"name": "sasrec"}),
        key="key",
        run_id="run",
        parent_id="parent",
        digest=digest,
        validation={"ndcg_at_10": 0.291},
        best_epoch=0,
        seconds=1.0,
        was_done=False,
        evaluation=scene.platform.settings.runs,
        metrics={"ndcg_at_10": 0.291},
    )
    champion = scene.platform.rollouts.champion()
    assert champion is not None
    release = Release(
        champion_digest=champion.digest,
        champion_version=champion.version,
        champion_name="item_knn",
        challenger=candidate,
        challenger_version=version,
    )
    return start_canary(release, CANARY, "the nightly lifecycle")


def register(platform: Platform, scorer: object, *, recipe: str, ndcg: float) -> tuple[int, str]:
    """Write a bundle and register it as the lifecycle does, with its test metrics; return version and digest."""
    digest = write(platform.settings.bundles, scorer, recipe=recipe, ndcg=ndcg)  # type: ignore[arg-type]
    run_id = platform.tracker.lifecycle_run(digest, name=recipe, tags={})
    metrics = {"ndcg_at_10": ndcg, "recall_at_10": 1.9 * ndcg, "coverage_at_10": 0.61}
    known = {f"{name}{end}": value + off for name, value in metrics.items() for end, off in _ENDS}
    platform.tracker.log_metrics(run_id, known)
    platform.tracker.finish(run_id)
    version = platform.registry.register(
        digest, run_id=run_id, source=str(platform.settings.bundles / digest), tags={"recipe": recipe}
    )
    return version, digest


def judged(platform: Platform, results: Sequence[CheckResult], *, at: datetime) -> None:
    """Have the results of a run of the monitor open, update and resolve incidents."""
    known = platform.outbox.incidents()
    change = advance([incident_from(one.document) for one in known], results, model="", now=at, config=IncidentConfig())
    record_change(platform.outbox, change, known, channels=["log"], link="", now=at)


def moved(now: datetime) -> CheckResult:
    """Return what the monitor says of ratings that came in another unit."""
    return _result(MOVED, now - timedelta(days=1), 4.12, 3.53)


def calm() -> CheckResult:
    """Return what the monitor says once they are back."""
    return _calm(MOVED)


_ENDS = (("", 0.0), ("_lower", -0.008), ("_upper", 0.008))


def _result(figure: str, since: datetime, value: float, expected: float) -> CheckResult:
    seen = f"{figure}: {value:g}, expected {expected:g}; above its band since {since:%Y-%m-%d}."
    finding = Finding(seen, "a changed unit, scale or default, or a broken pipeline", "Compare the last two ingests.")
    return CheckResult(
        figure, "data", Status.DRIFT, value, expected, 6.3, since, message=finding.sentences(), finding=finding
    )


def _calm(figure: str) -> CheckResult:
    return CheckResult(figure, "data", Status.OK)


def _rollouts(platform: Platform, *, rng: random.Random, now: datetime) -> str:
    """Return the digest of the champion that came of them."""
    store = platform.rollouts
    version, champion = register(platform, watched_next(), recipe="item_knn", ndcg=0.248)
    since = now - timedelta(days=21)
    store.set_bootstrap_champion(ModelReference(champion, version), now=since, by="release", reason="bootstrap")
    for number, by, is_promoted in _PAST:
        began = since + timedelta(days=5 * (number - 1))
        quality = 0.24 + 0.01 * number
        version, digest = register(
            platform, watched_next(noise=0.02 * number), recipe=f"item_knn-{number}", ndcg=quality
        )
        plan = Plan(
            f"item_knn-{digest[:8]}-1",
            ModelReference(digest, version),
            steps=(0.05, 0.25, 0.5),
            config=CanaryConfig(steps=(0.05, 0.25, 0.5)).model_dump(mode="json"),
            cause="the nightly lifecycle",
        )
        rollout = store.start(plan, now=began, by="canary controller")
        end = began + timedelta(days=2, hours=3 * number)
        for look in _looks(began, 30, sign=1 if is_promoted else -1, rng=rng):
            store.record_verdict(plan.rollout_id, look, fencing=rollout.fencing)
        signed = {"fencing": rollout.fencing, "now": end, "by": by}
        if is_promoted:
            store.promote(plan.rollout_id, **signed, reason="not inferior by more than 5 %, and every guardrail quiet")
            champion = digest
        else:
            store.roll_back(plan.rollout_id, **signed, reason="clicks per impression are 6.1 % below the control's")
    return champion


def _looks(began: datetime, count: int, *, sign: int, rng: random.Random) -> list[RecordedVerdict]:
    return [
        RecordedVerdict(
            at=began + timedelta(minutes=90 * number),
            step=min(3 * number // (count + 1), 2),
            action="continue",
            rule="too_early",
            words="Continue by rule too_early: the canary stays at its share.",
            users_canary=120 * number,
            users_control=120 * number,
            estimate=sign * 0.006 + rng.gauss(0, 0.004) / number**0.5,
            lower=sign * 0.006 - 0.06 / number**0.5,
            upper=sign * 0.006 + 0.06 / number**0.5,
            relative=0.025 * sign,
            e_values={"error": 1.5, "slow": 0.7, "short": 1.0, "fallback": 0.4, "hidden": 2.5, "sample_ratio": 0.9},
        )
        for number in range(1, count + 1)
    ]


def _figures(platform: Platform, *, rng: random.Random, now: datetime) -> None:
    days = tuple((now - timedelta(days=DAYS - 1 - n)).date() for n in range(DAYS))
    records = []
    for name, family, level, spread in _FIGURES:
        is_moved = name == MOVED
        weekly = [spread * (0.6 if day.weekday() > 4 else -0.1) for day in days]
        lift = [0.0] * (DAYS - 3) + [0.4, 0.8, 1.0]
        values = tuple(
            level + week + rng.gauss(0, 0.45 * spread) + (12 * spread * up if is_moved else 0.0)
            for week, up in zip(weekly, lift, strict=True)
        )
        centre = tuple(level + week for week in weekly)
        size = (values[-1] - centre[-1]) / spread
        records.append(
            FigureRecord(
                name=name,
                family=family,
                slice="",
                status="drift" if is_moved else "ok",
                value=values[-1],
                expected=centre[-1],
                size=size,
                since=now - timedelta(days=2) if is_moved else None,
                words="above its band since two days" if is_moved else "in order",
                days=days,
                values=values,
                centre=centre,
                lower=tuple(one - 2 * spread for one in centre),
                upper=tuple(one + 2 * spread for one in centre),
            )
        )
    FigureStore(platform.settings.figures).write(
        records,
        as_of=now - timedelta(minutes=20),
        action="ok",
        reasons=["One figure of the data moved: a model would learn the fault."],
        now=now - timedelta(minutes=12),
    )


def _records(platform: Platform, *, now: datetime) -> None:
    done = (
        (80, "cli:ana", "canary promote", "item_knn, version 4", "The guardrails are quiet, and clicks are up."),
        (51, "console:ben", "alerts ack", "data", "A supplier sent seconds as milliseconds; it is mended."),
        (27, "cli:ana", "takedown", "film-11", "A complaint about the music."),
        (5, "console:owner", "resume", "daily/daily", "The source has moved."),
    )
    log = AuditLog(platform.database)
    for hours, actor, action, subject, words in done:
        log.append(
            actor=actor, action=action, subject=subject, outcome="done", words=words, now=now - timedelta(hours=hours)
        )
