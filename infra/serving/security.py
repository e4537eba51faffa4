"""Who may ask: Host and Origin checks, the limit on bodies, and the token for whatever changes state."""

import hmac
import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.serving.problems import RefusedError, too_large

BODY_LIMIT = 256 * 1024
"""Most bytes of a request body."""

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def allowed_hosts(host: str) -> frozenset[str]:
    """Return the names under which a service that listens on `host` may be addressed.

    A page of a foreign site can make a browser send requests to a loopback address under the site's own name (DNS
    rebinding), so only known names are answered.
    """
    if is_loopback(host):
        return _LOOPBACK_NAMES
    return _LOOPBACK_NAMES | {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware that refuses foreign Host and Origin headers and bodies over the limit.

    Args:
        app: The application behind it.
        hosts: Names, without port, that a Host header may hold.
        body_limit: Most bytes of a body, whether it is announced or sent in chunks.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], body_limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._hosts = hosts
        self._limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on, one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(headers)
        except RefusedError as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if _name_of(host) not in self._hosts:
            raise RefusedError(
                421,
                f"host {host!r} is not served here",
                where="header Host",
                expected=f"one of: {', '.join(sorted(self._hosts))}",
                what_to_do="address the service by one of these names",
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise RefusedError(
                403,
                f"origin {origin!r} is not allowed",
                where="header Origin",
                expected="no Origin, or the service's own",
                what_to_do="call the service from a server, not from a page of another site",
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit:
            raise too_large(self._limit)


async def read_body(request: Request, *, limit: int = BODY_LIMIT) -> bytes:
    """Return the body, giving up as soon as it grows over `limit` bytes.

    Raises:
        RefusedError: 413, the body is larger.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def require_token(request: Request, *, token: str) -> None:
    """Refuse a request without the bearer token.

    Raises:
        RefusedError: 401, no token or another one was sent.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise RefusedError(
            401,
            "the token is missing or wrong",
            where="header Authorization",
            expected="Bearer followed by the write token",
            what_to_do="take the token from secrets/write_token in the home folder, or from EVERFEED_WRITE_TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )


def is_local(request: Request) -> bool:
    """Return whether the request comes straight from this machine, without a proxy in between."""
    is_forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    return request.client is not None and is_loopback(request.client.host) and not is_forwarded


def _name_of(host: str) -> str:
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]
