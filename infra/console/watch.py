"""What other services say, as last heard: pages never wait for one of them, and say which does not answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from infra.console.cell import Answer, Cell
from infra.console.desk import Desk, HeldBack
from infra.console.gateway_client import GatewayClient
from infra.console.links import MODEL
from infra.console.mlflow_client import MlflowClient, TrackedVersion
from infra.console.prefect_client import PrefectClient
from infra.console.prefect_views import FlowPast, ScheduleView
from infra.console.room import read_ingested
from infra.console.stages import FLOWS, Stage
from infra.database import Database
from infra.rollouts import RolloutStore
from infra.serving.schemas import StatusResponse
from infra.settings import Settings

_SOON, _LATER = 4.0, 30.0


@dataclass(frozen=True)
class Heard:
    """What the other services said last."""

    gateway: Answer[StatusResponse]
    pasts: Answer[Mapping[str, FlowPast]]
    schedules: Answer[Sequence[ScheduleView]]
    tracked: Answer[Mapping[int, TrackedVersion]]
    ingested: Answer[Stage]

    @property
    def stage(self) -> Stage:
        """The state of the lake."""
        return self.ingested.value or Stage("Ingest", "empty", "the lake is being read")

    @property
    def flow_pasts(self) -> Mapping[str, FlowPast]:
        """How flows stand; empty while Prefect does not answer."""
        return MappingProxyType({}) if self.pasts.problem else self.pasts.value or MappingProxyType({})

    @property
    def waits(self) -> str:
        """Who is being asked for the first time, in a sentence; empty for nobody."""
        asked = {
            "the gateway": self.gateway.is_asked,
            "Prefect": self.pasts.is_asked,
            "MLflow": self.tracked.is_asked,
            "the lake": self.ingested.is_asked,
        }
        names = [name for name, is_asked in asked.items() if not is_asked]
        return f"Still being asked: {', '.join(names)}." if names else ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Who does not answer, and what to do; one sentence each."""
        found = (self.gateway.problem, self.pasts.problem or self.schedules.problem, self.tracked.problem)
        return tuple(problem for problem in found if problem)


class Watch:
    """The other services of a home.

    Args:
        settings: Where they are.
        database: An open database.
        desk: What reads the quarantine.
    """

    def __init__(self, settings: Settings, database: Database, desk: Desk) -> None:
        self.gateway = GatewayClient(settings.gateway_url, token=settings.token())
        self.prefect = PrefectClient(settings.prefect_url)
        self._mlflow = MlflowClient(settings.mlflow_ui_url, model=settings.named(MODEL))
        self._rollouts = RolloutStore(database)
        self._status = Cell(self.gateway.status, every_seconds=_SOON)
        self._pasts: Cell[Mapping[str, FlowPast]] = Cell(lambda: self.prefect.pasts(FLOWS), every_seconds=_SOON * 2)
        self.schedules: Cell[Sequence[ScheduleView]] = Cell(self.prefect.schedules, every_seconds=_SOON)
        self._tracked: Cell[Mapping[int, TrackedVersion]] = Cell(self._versions, every_seconds=_LATER)
        self._ingested = Cell(lambda: asyncio.to_thread(read_ingested, settings), every_seconds=_LATER)
        self.quarantine: Cell[Sequence[HeldBack]] = Cell(
            lambda: asyncio.to_thread(desk.quarantine), every_seconds=_LATER
        )

    async def hear(self) -> Heard:
        """Return what everybody said last."""
        status, pasts, schedules, tracked, ingested = await asyncio.gather(
            self._status.read(), self._pasts.read(), self.schedules.read(), self._tracked.read(), self._ingested.read()
        )
        return Heard(status, pasts, schedules, tracked, ingested)

    async def close(self) -> None:
        """End what is being asked, and close the connections."""
        cells = (self._status, self._pasts, self.schedules, self._tracked, self._ingested, self.quarantine)
        for cell in cells:
            await cell.close()
        for client in (self.gateway, self.prefect, self._mlflow):
            await client.close()

    async def _versions(self) -> Mapping[int, TrackedVersion]:
        """Ask MLflow of the models that serve."""
        serving = await asyncio.to_thread(self._rollouts.serving)
        wanted = [one.version for one in (serving.champion, serving.challenger) if one is not None]
        found = await asyncio.gather(*(self._mlflow.version(version) for version in wanted))
        return {one.version: one for one in found}
