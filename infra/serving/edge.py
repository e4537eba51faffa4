"""The gateway's ASGI application: every request passes here, in as few steps as possible, cheap refusals first.

A dictionary finds the endpoint; then come the client's rate, the room in its lane, Host and Origin, the body, the turn.
Starlette is left with what is rare: the start and the end of the process. Its router, its request and its response cost
twice as much as all of this.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.serving.admission import Admission, Lane
from infra.serving.calls import Answer, Call
from infra.serving.instruments import Instruments
from infra.serving.limits import Limits, RateLimiter
from infra.serving.problems import RefusedError, bug, busy, not_found, not_in_time
from infra.serving.security import HeaderCheck, read_body

_log = logging.getLogger(__name__)

DEADLINE_SECONDS = 10.0
"""How long a request may take altogether: sending its body, waiting for its turn, and its answer."""

UNKNOWN_PATH = "other"
"""Label of paths that are not served; their names are not for metrics."""

Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        path: The path.
        method: ``GET`` or ``POST``.
        handler: Answers it.
        lane: Where it queues; None for what is answered at once and never refused, such as probes.
    """

    path: str
    method: str
    handler: Handler
    lane: Lane | None = None


class Edge:
    """Answers requests.

    Args:
        routes: What is served.
        lifecycle: ASGI application that is started and ended with this one.
        admission: Decides when a request runs.
        headers: Refuses foreign Host and Origin headers and announced bodies over the limit.
        instruments: Where answers are counted.
        publish: Leaves this worker's figures for the others; called about once a second.
        limiter: Decides whether a client sent too many; None for no limit.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        lifecycle: ASGIApp,
        admission: Admission,
        headers: HeaderCheck,
        instruments: Instruments,
        publish: Callable[[], None] = lambda: None,
        limiter: RateLimiter | Limits | None = None,
    ) -> None:
        self.routes = tuple(routes)
        self._routes = {(route.method, route.path): route for route in routes}
        self._routes |= {("HEAD", route.path): route for route in routes if route.method == "GET"}
        self._laned = {
            (route.method.encode(), route.path.encode()): (route.path, route.lane)
            for route in routes
            if route.lane is not None
        }
        self._lifecycle = lifecycle
        self.admission = admission
        self._check = headers.check
        self._instruments = instruments
        self._limiter = limiter
        self.publish = publish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on the start and the end of the process."""
        if scope["type"] != "http":
            await self._lifecycle(scope, receive, send)
            return
        path = scope["path"]
        route = self._routes.get((scope["method"], path))
        try:
            answer = self._refuse(scope) if route is None else await self._answer(route, scope, receive)
        except RefusedError as refusal:
            answer = refusal.answer()
        except Exception:  # noqa: BLE001 - a door: a bug costs one request, and its words stay in the log
            _log.exception("request failed path=%s", path if route else UNKNOWN_PATH)
            answer = bug().answer()
        self._instruments.requests.add(path if route else UNKNOWN_PATH, str(answer.status))
        body = answer.body
        headers = [(b"content-type", answer.media_type), (b"content-length", b"%d" % len(body)), *answer.headers]
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        except RuntimeError as error:
            if "handler is closed" not in str(error):
                raise
            # uvicorn hung up on a client that sent nonsense behind its request; uvloop says so by this type alone
            _log.debug("answer not sent path=%s: %s", path if route else UNKNOWN_PATH, error)

    def early_refusal(self, method: bytes, target: bytes) -> Answer | None:
        """Return the refusal of a request by its head alone, where its lane has no room.

        None leaves it to the whole way, which is also where a client's rate is checked and a drain is announced.

        Args:
            method: As it was sent.
            target: Path and query as they were sent.
        """
        found = self._laned.get((method, target))
        if found is None or self._limiter is not None or self.admission.is_draining:
            return None
        path, lane = found
        refusal = self.admission.refusal(lane)
        if refusal is not None:
            self._instruments.requests.add(path, str(refusal.status))
        return refusal

    @property
    def operations(self) -> frozenset[tuple[str, str]]:
        """Method and path of everything that is served; HEAD, which every GET implies, is left out."""
        return frozenset(key for key in self._routes if key[0] != "HEAD")

    def drain(self) -> None:
        """Say from now on that no more traffic is wanted; what comes is answered."""
        self.admission.is_draining = True

    async def _answer(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        lane = route.lane
        if lane is None and route.method == "GET":
            self._check(scope["headers"])
            return await route.handler(Call(scope))
        if self._limiter is not None:
            self._limiter.check(Call(scope).client, time.monotonic())
        if lane is not None and (refusal := self.admission.refusal(lane)) is not None:
            return refusal
        self._check(scope["headers"])
        return await self._with_body(route, scope, receive)

    async def _with_body(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        lane, body = route.lane, None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                body = await read_body(receive)
                if lane is None:
                    return await route.handler(Call(scope, body))
                try:
                    await self.admission.enter(lane)
                    return await route.handler(Call(scope, body))
                finally:
                    self.admission.leave(lane)
        except TimeoutError as error:
            if body is None:
                raise not_in_time(DEADLINE_SECONDS) from error
            raise busy(f"there was no answer within {DEADLINE_SECONDS:.0f} s") from error

    def _refuse(self, scope: Scope) -> Answer:
        """Refuse what no route takes: an unknown path, or a method that a known one does not have."""
        self._check(scope["headers"])
        allowed = sorted(method for method, path in self._routes if path == scope["path"])
        return not_found(scope["method"], scope["path"], allowed=allowed).answer()
