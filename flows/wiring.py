"""Settings -> connected stores: the composition root. Each store is opened at its first use."""

from dataclasses import dataclass
from functools import cache, cached_property

from flows.marks import mark_flow_run
from infra.audit_log import AuditLog
from infra.database import Database, open_database
from infra.erasures import ErasureStore
from infra.events import EventStore
from infra.held_accounts import HeldAccounts
from infra.histories import HistoryStore
from infra.lake import Lake
from infra.model_registry import ModelRegistry
from infra.outbox import Outbox
from infra.releases import ReleaseStore
from infra.retrains import RetrainStore
from infra.rollout_covariates import CovariateStore
from infra.rollout_decisions import Decisions
from infra.rollouts import RolloutStore
from infra.segments import SegmentStore
from infra.settings import Settings
from infra.shadows import ShadowStore
from infra.studies import StudyStore
from infra.takedowns import TakedownStore
from infra.tracking import Tracker

MODEL_NAME = "everfeed"
"""Name of the registered model whose versions are rolled out; a tenant's has the tenant's name before it."""

EXPERIMENT = "everfeed"
"""Name of the experiment that the runs are in; the same."""


@dataclass(frozen=True)
class Platform:
    """The stores of one home, connected."""

    settings: Settings

    @cached_property
    def database(self) -> Database:
        """Everfeed's own tables."""
        self.settings.root.mkdir(parents=True, exist_ok=True)
        return open_database(self.settings.database)

    @cached_property
    def lake(self) -> Lake:
        """The Delta tables."""
        return Lake(self.settings.lake_place)

    @cached_property
    def rollouts(self) -> RolloutStore:
        """Who serves."""
        return RolloutStore(self.database)

    @cached_property
    def audit_log(self) -> AuditLog:
        """Who changed what."""
        return AuditLog(self.database)

    @cached_property
    def decisions(self) -> Decisions:
        """What people decide about rollouts."""
        return Decisions(self.rollouts, self.audit_log)

    @cached_property
    def segments(self) -> SegmentStore:
        """Items that joined after the models were trained."""
        return SegmentStore(self.database)

    @cached_property
    def shadows(self) -> ShadowStore:
        """What challengers answered unseen."""
        return ShadowStore(self.database)

    @cached_property
    def covariates(self) -> CovariateStore:
        """What users did before a rollout."""
        return CovariateStore(self.settings.covariates, self.lake)

    @cached_property
    def events(self) -> EventStore:
        """What was served and what came of it."""
        return EventStore(self.database)

    @cached_property
    def histories(self) -> HistoryStore:
        """What users did, for serving."""
        return HistoryStore(self.database)

    @cached_property
    def releases(self) -> ReleaseStore:
        """Which quarantined rows were released."""
        return ReleaseStore(self.database)

    @cached_property
    def held_accounts(self) -> HeldAccounts:
        """Accounts whose events are held back."""
        return HeldAccounts(self.database)

    @cached_property
    def retrains(self) -> RetrainStore:
        """Which retrains drift asked for."""
        return RetrainStore(self.database)

    @cached_property
    def erasures(self) -> ErasureStore:
        """Who was erased."""
        return ErasureStore(self.database)

    @cached_property
    def takedowns(self) -> TakedownStore:
        """Items that nobody may be shown."""
        return TakedownStore(self.database)

    @cached_property
    def outbox(self) -> Outbox:
        """Incidents, and alerts on their way."""
        return Outbox(self.database)

    @cached_property
    def tracker(self) -> Tracker:
        """MLflow runs."""
        settings = self.settings
        place = settings.artifacts_place if settings.artifacts_url else settings.artifacts
        return Tracker(
            settings.mlflow, artifacts=place, experiment=settings.named(EXPERIMENT), store=settings.object_store
        )

    @cached_property
    def studies(self) -> StudyStore:
        """Searches for hyper-parameters."""
        self.settings.root.mkdir(parents=True, exist_ok=True)
        return StudyStore(self.settings.studies, prefix=self.settings.named(""))

    @cached_property
    def registry(self) -> ModelRegistry:
        """MLflow model versions."""
        return ModelRegistry(self.settings.mlflow, self.settings.named(MODEL_NAME))


@cache
def connect(settings: Settings) -> Platform:
    """Return the platform of these settings; one a process."""
    return Platform(settings)


def platform() -> Platform:
    """Return the platform that the environment describes, for the flow run that asks."""
    mark_flow_run()
    return connect(Settings())
