"""All that the page shows of the stores, read at once."""

from dataclasses import dataclass
from datetime import datetime

from infra.console import stages
from infra.console.chart import Chart, draw
from infra.console.incidents import IncidentView, read_incidents
from infra.console.models import ModelCard, cards, metric_names
from infra.console.stages import Stage, guarded
from infra.database import Database
from infra.lake import Lake
from infra.outbox import Outbox
from infra.rollouts import Champion, RecordedVerdict, Rollout, RolloutStore
from infra.settings import Settings

_VERDICTS_SHOWN = 20
_CHAMPIONS_SHOWN = 50


@dataclass(frozen=True)
class Room:
    """The state of the lifecycle.

    Attributes:
        stages: From left to right.
        models: Champion and challenger.
        metric_names: Metrics that any of them has.
        rollout: The active rollout, or else the newest one.
        verdicts: Its newest looks, the newest first.
        chart: Its confidence sequence.
        incidents: The open ones, then the newest resolved ones.
        champions: The newest first.
    """

    stages: list[Stage]
    models: list[ModelCard]
    metric_names: list[str]
    rollout: Rollout | None
    verdicts: list[RecordedVerdict]
    chart: Chart | None
    incidents: list[IncidentView]
    champions: list[Champion]


def read_room(settings: Settings, database: Database, *, now: datetime) -> Room:
    """Read the stores.

    Raises:
        StoreError: The database cannot be read.
    """
    rollouts = RolloutStore(database)
    rollout = rollouts.active() or next(iter(rollouts.rollouts()), None)
    verdicts = rollouts.verdicts(rollout.rollout_id) if rollout else []
    models = cards(rollouts.serving(), bundles=settings.bundles)
    champions = rollouts.history()[::-1]
    incidents = read_incidents(Outbox(database), now=now)
    return Room(
        stages=_stages(settings, champion=champions[0] if champions else None, rollout=rollout, incidents=incidents),
        models=models,
        metric_names=metric_names(models),
        rollout=rollout,
        verdicts=verdicts[: -_VERDICTS_SHOWN - 1 : -1],
        chart=draw(verdicts),
        incidents=incidents,
        champions=champions[:_CHAMPIONS_SHOWN],
    )


def _stages(
    settings: Settings, *, champion: Champion | None, rollout: Rollout | None, incidents: list[IncidentView]
) -> list[Stage]:
    num_open = sum(incident.is_open for incident in incidents)
    return [
        guarded("Ingest", lambda: stages.ingested(Lake(settings.lake_place))),
        stages.validated(settings),
        stages.trained(settings),
        stages.released(champion, settings),
        stages.rolled_out(rollout),
        stages.monitored(num_open, settings),
    ]
