"""Which requests are looked at: Host and Origin checks, the limit on bodies, and who is on this machine."""

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.serving.calls import Call
from infra.serving.problems import RefusedError, cut_off, too_large

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


class HeaderCheck:
    """Refuses foreign Host and Origin headers, and bodies that are announced as larger than the limit.

    Args:
        hosts: Names, without port, that a Host header may hold.
        body_limit: Most bytes of a body.
    """

    def __init__(self, *, hosts: frozenset[str], body_limit: int = BODY_LIMIT) -> None:
        self._hosts = hosts
        self._limit = body_limit
        self._is_own = lru_cache(maxsize=256)(lambda host: _name_of(host.decode("latin-1")) in hosts)

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Look at the headers as ASGI gives them, names in lower case.

        Raises:
            RefusedError: 421, 403 or 413.
        """
        host, origin = b"", None
        for name, value in headers:
            if name == b"host":
                host = value
                if not self._is_own(host):
                    raise self._misdirected(host.decode("latin-1"))
            elif name == b"origin":
                origin = value
            elif name == b"content-length" and not (value.isdigit() and int(value) <= self._limit):
                raise too_large(self._limit)
        if not host:
            raise self._misdirected("")
        if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
            raise _foreign(origin.decode("latin-1"))

    def _misdirected(self, host: str) -> RefusedError:
        return RefusedError(
            421,
            f"host {host!r} is not served here",
            where="header Host",
            expected=f"one of: {', '.join(sorted(self._hosts))}",
            what_to_do="address the service by one of these names",
        )


def _foreign(origin: str) -> RefusedError:
    return RefusedError(
        403,
        f"origin {origin!r} is not allowed",
        where="header Origin",
        expected="no Origin, or the service's own",
        what_to_do="call the service from a server, not from a page of another site",
    )


class Guard:
    """ASGI middleware around an application of Starlette's that checks the headers of every request.

    Args:
        app: The application behind it.
        hosts: Names, without port, that a Host header may hold.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        self._app = app
        self._headers = HeaderCheck(hosts=hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on, one request."""
        try:
            if scope["type"] == "http":
                self._headers.check(scope["headers"])
        except RefusedError as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def read_body(receive: Receive, *, limit: int = BODY_LIMIT) -> bytes:
    """Return the body, giving up as soon as it grows over `limit` bytes.

    Raises:
        RefusedError: 413, the body is larger; 400, the client went away in the middle of it.
    """
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise cut_off()
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return body


def is_local(call: Call) -> bool:
    """Return whether the request comes straight from this machine, without a proxy in between."""
    is_forwarded = any(name in (b"x-forwarded-for", b"forwarded") for name, _ in call.scope["headers"])
    return is_loopback(call.client) and not is_forwarded


def _name_of(host: str) -> str:
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]
