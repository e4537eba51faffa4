"""HTTP around the gateway: bodies decoded and refused, answers encoded, statuses counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.serving import metrics, openapi
from infra.serving.breaker import BreakerState
from infra.serving.eventlog import LogFullError
from infra.serving.gateway import Gateway
from infra.serving.metrics import Gauge
from infra.serving.problems import RefusedError, busy, not_json, not_valid
from infra.serving.schemas import (
    ExplainRequest,
    FeedbackRequest,
    FeedbackResponse,
    Health,
    RecommendRequest,
    RejectedEvent,
    Role,
    SlotStatus,
    StatusResponse,
    TakedownRequest,
    TakedownResponse,
)
from infra.serving.security import is_local, read_body, require_token
from infra.serving.slots import Slot
from infra.takedowns import TakedownStore
from recmodels.errors import StoreError

T = TypeVar("T", bound=msgspec.Struct)
Endpoint = Callable[[Request], Awaitable[Response]]

FEEDBACK_SECONDS = 10.0
"""How long a client waits for the commit of its feedback before it is told to send it again."""

_encode = msgspec.json.Encoder().encode


class Endpoints:
    """The gateway's HTTP interface.

    Args:
        gateway: What answers.
        takedowns: Where takedowns are written.
        token: What a caller must know to change state.
        version: Version of the service.
    """

    def __init__(self, gateway: Gateway, takedowns: TakedownStore, *, token: str, version: str) -> None:
        self._gateway = gateway
        self._takedowns = takedowns
        self._token = token
        self._version = version
        self._started_at = datetime.now(UTC)
        self._document = _encode(openapi.document(version=version))
        self._recommend_body = msgspec.json.Decoder(RecommendRequest)
        self._explain_body = msgspec.json.Decoder(ExplainRequest)
        self._feedback_body = msgspec.json.Decoder(FeedbackRequest)
        self._takedown_body = msgspec.json.Decoder(TakedownRequest)
        self.is_draining = False

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            self._route("/v1/recommend", self.recommend, "POST"),
            self._route("/v1/explain", self.explain, "POST"),
            self._route("/v1/feedback", self.feedback, "POST"),
            self._route("/v1/status", self.status, "GET"),
            self._route("/v1/admin/takedown", self.takedown, "POST"),
            self._route("/healthz", self.health, "GET"),
            self._route("/readyz", self.ready, "GET"),
            self._route("/metrics", self.metrics, "GET"),
            self._route("/openapi.json", self.openapi, "GET"),
        ]

    def _route(self, path: str, endpoint: Endpoint, method: str) -> Route:
        requests = self._gateway.instruments.requests

        async def counted(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except RefusedError as refusal:
                response = refusal.response()
            requests.add(path, str(response.status_code))
            return response

        return Route(path, counted, methods=[method])

    async def recommend(self, request: Request) -> Response:
        """Answer a list of items."""
        wish = _decode(self._recommend_body, await read_body(request))
        try:
            return _json(await self._gateway.recommend(wish))
        except LogFullError as error:
            raise busy(str(error)) from error

    async def explain(self, request: Request) -> Response:
        """Show what both models would answer; it tells a user's history, so it needs the token like feedback."""
        self._require_trust(request)
        return _json(await self._gateway.explain(_decode(self._explain_body, await read_body(request))))

    async def feedback(self, request: Request) -> Response:
        """Keep feedback; needs the token unless the caller is on this machine."""
        self._require_trust(request)
        report = _decode(self._feedback_body, await read_body(request))
        try:
            receipt = await asyncio.wait_for(self._gateway.feedback(report.events), FEEDBACK_SECONDS)
        except (LogFullError, StoreError, TimeoutError) as error:
            raise busy(f"the feedback could not be stored: {error or 'the store is slow'}") from error
        rejected = [RejectedEvent(rejection.event_id, rejection.reason) for rejection in receipt.rejected]
        return _json(FeedbackResponse(receipt.accepted, receipt.duplicates, rejected))

    def _require_trust(self, request: Request) -> None:
        if not is_local(request):
            require_token(request, token=self._token)

    async def takedown(self, request: Request) -> Response:
        """Block items, or allow them again; needs the token."""
        require_token(request, token=self._token)
        order = _decode(self._takedown_body, await read_body(request))
        try:
            blocked = await asyncio.to_thread(self._apply, order)
        except StoreError as error:
            raise busy(str(error)) from error
        return _json(TakedownResponse(blocked))

    def _apply(self, order: TakedownRequest) -> int:
        if order.is_blocked:
            self._takedowns.block(order.item_ids, reason=order.reason, by="gateway", now=datetime.now(UTC))
        else:
            self._takedowns.lift(order.item_ids)
        return len(self._takedowns.blocked().item_ids)

    async def status(self, _request: Request) -> Response:
        """Tell who serves, and how it goes."""
        view, log = self._gateway.view, self._gateway.log
        serving = view.lineup.serving
        slots = [_slot_status("champion", view.lineup.champion), _slot_status("challenger", view.lineup.challenger)]
        status = StatusResponse(
            version=self._version,
            started_at=self._started_at,
            slots=[slot for slot in slots if slot is not None],
            rollout_id=serving.rollout_id,
            step=serving.step if serving.rollout_id else None,
            share=serving.share,
            queue_depth=log.depth,
            queue_limit=log.limit,
            taken_down=len(view.blocked),
            is_store_reachable=view.is_store_reachable,
        )
        return _json(status)

    async def health(self, _request: Request) -> Response:
        """Tell that the process is alive."""
        return _json(Health(is_ok=True, detail="alive"))

    async def ready(self, _request: Request) -> Response:
        """Tell whether to send traffic here."""
        if self.is_draining:
            return _json(Health(is_ok=False, detail="draining"), status=503)
        if not self._gateway.view.has_polled:
            return _json(Health(is_ok=False, detail="who serves is not known yet"), status=503)
        return _json(Health(is_ok=True, detail="ready"))

    async def metrics(self, _request: Request) -> Response:
        """Expose counters, gauges and latencies."""
        gateway, view = self._gateway, self._gateway.view
        gauges = (
            Gauge("everfeed_log_queue_rows", "Rows waiting to be written.", lambda: gateway.log.depth),
            Gauge("everfeed_log_written_rows", "Answers written since the start.", lambda: gateway.log.written),
            Gauge("everfeed_canary_share", "Share of the challenger's users.", lambda: view.lineup.serving.share),
            Gauge(
                "everfeed_store_reachable", "1 when the last poll succeeded.", lambda: gateway.view.is_store_reachable
            ),
        )
        text = metrics.render([*gateway.instruments.all(), gateway.log.lag, *gauges], facts={"version": self._version})
        return Response(text, media_type=metrics.CONTENT_TYPE)

    async def openapi(self, _request: Request) -> Response:
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json")


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise not_valid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error


def _json(answer: msgspec.Struct, *, status: int = 200) -> Response:
    return Response(_encode(answer), status_code=status, media_type="application/json")


def _slot_status(role: Role, slot: Slot | None) -> SlotStatus | None:
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
