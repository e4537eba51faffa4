"""All that the first page shows of the stores, read at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from infra.audit_log import AuditLog, AuditRecord
from infra.console import drift, stages
from infra.console.desk import Desk
from infra.console.drift import FigureView
from infra.console.incidents import IncidentView, read_incidents
from infra.console.links import Links
from infra.console.mlflow_client import TrackedVersion
from infra.console.models import MetricRow, ModelCard, cards, metric_rows
from infra.console.prefect_views import FlowPast
from infra.console.rollout_view import RolloutView, read_rollout
from infra.console.stages import Running, Stage, guarded, with_run
from infra.database import Database
from infra.figures import Figures, FigureStore
from infra.lake import Lake
from infra.outbox import Outbox, SilenceRecord
from infra.retrains import Retrain, RetrainStore
from infra.rollouts import Champion, Rollout, RolloutStore
from infra.settings import Settings
from recmodels.errors import StoreError

_LOOKS, _INCIDENTS, _FIGURES, _CHAMPIONS, _RECORDS, _RETRAINS = 3, 8, 6, 5, 5, 3


@dataclass(frozen=True)
class Room:
    """The state of the lifecycle.

    Attributes:
        stages: From left to right.
        models: Champion and challenger.
        metrics: Their metrics.
        rollout: The active rollout, or else the newest one.
        incidents: The open ones, then the newest resolved ones.
        num_open: How many are open.
        silences: Those that hold.
        figures: Those furthest from their band.
        judged: The monitor's newest run; None before the first.
        drift_problem: Why the figures cannot be read; empty where they can.
        champions: The newest first.
        records: The newest of the audit log.
        retrains: The newest.
        running: Whole lifecycles that run, as far as Prefect answers.
    """

    stages: list[Stage]
    models: list[ModelCard]
    metrics: list[MetricRow]
    rollout: RolloutView | None
    incidents: list[IncidentView]
    num_open: int
    silences: list[SilenceRecord]
    figures: list[FigureView]
    judged: Figures | None
    drift_problem: str
    champions: list[Champion]
    records: list[AuditRecord]
    retrains: list[Retrain]
    running: list[Running]


def read_room(
    settings: Settings,
    database: Database,
    desk: Desk,
    *,
    pasts: Mapping[str, FlowPast],
    tracked: Mapping[int, TrackedVersion],
    ingested: Stage,
    now: datetime,
) -> Room:
    """Read the stores.

    Args:
        settings: Where everything is.
        database: An open database.
        desk: What the layer above knows.
        pasts: How flows stand, as far as Prefect answers.
        tracked: Model versions, as far as MLflow answers.
        ingested: The state of the lake, which is read behind the pages.
        now: The present.

    Raises:
        StoreError: The database cannot be read.
    """
    rollouts, links = RolloutStore(database), Links(settings)
    known = rollouts.rollouts()
    rollout = next((one for one in known if one.is_active), next(iter(known), None))
    models = cards(rollouts.serving(), bundles=settings.bundles, tracked=tracked)
    champions = rollouts.history()[::-1]
    outbox = Outbox(database)
    incidents = read_incidents(outbox, now=now, limit=10_000)
    num_open = sum(incident.is_open for incident in incidents)
    judged, problem = read_figures(settings)
    experiments = [model.tracked.experiment_id for model in models if model.tracked and model.tracked.experiment_id]
    found = _stages(
        settings,
        champions,
        known,
        links=links,
        num_open=num_open,
        judged=judged,
        ingested=ingested,
        experiment_id=next(iter(experiments), ""),
        now=now,
    )
    return Room(
        stages=[with_run(stage, pasts, links=links, now=now) for stage in found],
        models=models,
        metrics=metric_rows(models),
        rollout=read_rollout(rollouts, rollout, desk, num_looks=_LOOKS) if rollout else None,
        incidents=incidents[:_INCIDENTS],
        num_open=num_open,
        silences=outbox.silences(now=now),
        figures=[drift.view(one) for one in drift.ordered(judged.figures)[:_FIGURES]] if judged else [],
        judged=judged,
        drift_problem=problem,
        champions=champions[:_CHAMPIONS],
        records=AuditLog(database).recent(_RECORDS),
        retrains=RetrainStore(database).all()[:_RETRAINS],
        running=stages.running(pasts, links=links),
    )


def read_figures(settings: Settings) -> tuple[Figures | None, str]:
    """Return the monitor's figures, or why they cannot be read."""
    try:
        return FigureStore(settings.figures).read(), ""
    except StoreError as error:
        return None, str(error)


def read_ingested(settings: Settings) -> Stage:
    """Return the state of the lake; a damaged one is said so."""
    return guarded("Ingest", lambda: stages.ingested(Lake(settings.lake_place)))


def _stages(
    settings: Settings,
    champions: list[Champion],
    rollouts: list[Rollout],
    *,
    links: Links,
    num_open: int,
    judged: Figures | None,
    ingested: Stage,
    experiment_id: str,
    now: datetime,
) -> list[Stage]:
    return [
        ingested,
        stages.validated(settings),
        stages.trained(settings, links, experiment_id=experiment_id),
        stages.released(champions[0] if champions else None, links),
        stages.rolled_out(rollouts, now=now),
        stages.monitored(num_open, settings, judged_at=judged.written_at if judged else None),
    ]
