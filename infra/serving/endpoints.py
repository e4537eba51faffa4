"""HTTP around the gateway: bodies decoded and refused, answers encoded."""

import os
import time
from datetime import UTC, datetime

import msgspec

from infra.access import Role
from infra.serving import openapi
from infra.serving.admin import AdminDesk
from infra.serving.admission import Admission, Lane
from infra.serving.bodies import decoded, encoded
from infra.serving.breaker import BreakerState
from infra.serving.calls import Answer, Call
from infra.serving.edge import Route
from infra.serving.eventlog import LogFullError
from infra.serving.exposition import Exposition
from infra.serving.figures import SharedFigures
from infra.serving.gateway import Gateway
from infra.serving.keyring import Keyring
from infra.serving.problems import busy
from infra.serving.schemas import (
    ExplainRequest,
    FeedbackRequest,
    FeedbackResponse,
    Health,
    RecommendRequest,
    RejectedEvent,
    SlotStatus,
    StatusResponse,
)
from infra.serving.schemas import Role as SlotRole
from infra.serving.security import is_local
from infra.serving.slots import Slot
from recmodels.errors import StoreError

_WAIT_SECONDS = {"recommend": 0.05, "feedback": 0.25}
"""How long a request of the lane may wait in an overload; feedback waits for its commit, too."""

_BURST_SECONDS = {"recommend": 0.25, "feedback": 1.0}
"""How long it may wait otherwise."""

_LEAST_INSIDE = 64
"""As many requests of a lane are let in however slow it is: a burst of an otherwise idle client."""

_encode = msgspec.json.Encoder().encode


class Endpoints:
    """The gateway's HTTP interface.

    Args:
        gateway: What answers.
        desk: What changes state in the name of an operator.
        keyring: Tells whose token a request carries.
        version: Version of the service.
        shared: Where the other workers' figures are; None where there is one process alone.
    """

    def __init__(
        self,
        gateway: Gateway,
        desk: AdminDesk,
        keyring: Keyring,
        *,
        version: str,
        shared: SharedFigures | None = None,
    ) -> None:
        self._gateway = gateway
        self._desk = desk
        self._keyring = keyring
        self._version = version
        self._started_at = datetime.now(UTC)
        self._document = _encode(openapi.document(version=version))
        self._recommend_body = msgspec.json.Decoder(RecommendRequest)
        self._explain_body = msgspec.json.Decoder(ExplainRequest)
        self._feedback_body = msgspec.json.Decoder(FeedbackRequest)
        recommend, feedback = (
            Lane(name, wait_seconds=_WAIT_SECONDS[name], burst_seconds=_BURST_SECONDS[name], least=_LEAST_INSIDE)
            for name in ("recommend", "feedback")
        )
        self.admission = Admission((recommend, feedback), refused=gateway.instruments.refused)
        self.exposition = Exposition(gateway, self.admission, version=version, shared=shared)

    def routes(self) -> list[Route]:
        """Return the routes; what has a lane may be refused when there is too much of it."""
        recommend, feedback = self.admission.lanes
        return [
            Route("/v1/recommend", "POST", self.recommend, recommend),
            Route("/v1/explain", "POST", self.explain, recommend),
            Route("/v1/feedback", "POST", self.feedback, feedback),
            Route("/v1/admin/takedown", "POST", self._desk.takedown),
            Route("/v1/admin/items", "POST", self._desk.add_items),
            Route("/v1/status", "GET", self.status),
            Route("/healthz", "GET", self.health),
            Route("/readyz", "GET", self.ready),
            Route("/metrics", "GET", self.metrics),
            Route("/openapi.json", "GET", self.openapi),
        ]

    async def recommend(self, call: Call) -> Answer:
        """Answer a list of items."""
        wish = decoded(self._recommend_body, call.body)
        try:
            return encoded(await self._gateway.recommend(wish))
        except LogFullError as error:
            raise busy(str(error)) from error

    async def explain(self, call: Call) -> Answer:
        """Show what both models would answer; it tells a user's history: from elsewhere a viewer's token is needed."""
        self._require_trust(call, Role.VIEWER)
        return encoded(await self._gateway.explain(decoded(self._explain_body, call.body)))

    async def feedback(self, call: Call) -> Answer:
        """Keep feedback; from another machine a service's token is needed."""
        self._require_trust(call, Role.SERVICE)
        report = decoded(self._feedback_body, call.body)
        try:
            receipt = await self._gateway.feedback(report.events)
        except (LogFullError, StoreError) as error:
            raise busy(f"the feedback could not be stored: {error}") from error
        rejected = [RejectedEvent(rejection.event_id, rejection.reason) for rejection in receipt.rejected]
        return encoded(FeedbackResponse(receipt.accepted, receipt.duplicates, rejected))

    def _require_trust(self, call: Call, role: Role) -> None:
        if not is_local(call):
            self._keyring.require(call, role)

    async def status(self, _call: Call) -> Answer:
        """Tell who serves, and how it goes."""
        view, log = self._gateway.view, self._gateway.log
        serving = view.lineup.serving
        slots = [_slot_status("champion", view.lineup.champion), _slot_status("challenger", view.lineup.challenger)]
        status = StatusResponse(
            version=self._version,
            pid=os.getpid(),
            started_at=self._started_at,
            slots=[slot for slot in slots if slot is not None],
            rollout_id=serving.rollout_id,
            step=serving.step if serving.rollout_id else None,
            share=serving.share,
            queue_depth=log.depth,
            queue_limit=log.limit,
            taken_down=len(view.blocked),
            segment_version=view.segment_version,
            is_store_reachable=view.is_store_reachable,
        )
        return encoded(status)

    async def health(self, _call: Call) -> Answer:
        """Tell that the process is alive."""
        return encoded(Health(is_ok=True, detail="alive"))

    async def ready(self, _call: Call) -> Answer:
        """Tell whether to send traffic here."""
        if self.admission.is_draining:
            return encoded(Health(is_ok=False, detail="draining"), status=503)
        if not self._gateway.view.has_polled:
            return encoded(Health(is_ok=False, detail="who serves is not known yet"), status=503)
        return encoded(Health(is_ok=True, detail="ready"))

    async def metrics(self, _call: Call) -> Answer:
        """Expose counters, gauges and latencies, of all workers."""
        return self.exposition.answer()

    async def openapi(self, _call: Call) -> Answer:
        """Return the OpenAPI document."""
        return Answer(self._document)


def _slot_status(role: SlotRole, slot: Slot | None) -> SlotStatus | None:
    if slot is None:
        return None
    loaded = slot.loaded
    is_asked = loaded is not None and loaded.breaker.state(time.monotonic()) is BreakerState.CLOSED
    return SlotStatus(
        role=role,
        digest=slot.reference.digest,
        model_version=str(slot.reference.version),
        model=loaded.model if loaded else "",
        state="failed" if loaded is None else "ready" if is_asked else "paused",
        problem=slot.problem,
        loaded_seconds=round(loaded.loaded_seconds, 3) if loaded else 0.0,
    )
