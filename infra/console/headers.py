"""The headers of every answer: what a page may load, and who may look at it."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.console.sessions import COOKIE, Sessions
from infra.serving.security import is_loopback

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'self' {origin} 'unsafe-inline' 'unsafe-eval' data: blob:;"
    " connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Reports bring scripts of their own: they run in a sandbox, away from this page, and reach nothing outside."""

_OPEN = ("/static/", "/sign-in", "/healthz")
"""Addresses that anybody may ask for from anywhere."""


class Headers:
    """ASGI middleware that adds the security headers; an inner one's policy wins over an outer one's.

    Args:
        app: The application behind it.
        policy: Content-Security-Policy of its answers.
    """

    def __init__(self, app: ASGIApp, *, policy: str) -> None:
        self._app = app
        self._headers = {
            b"content-security-policy": policy.encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"same-origin",
            b"cross-origin-opener-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
            b"cache-control": b"private, no-cache",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in self._headers.items() if name not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Viewers:
    """ASGI middleware that asks those who look from another machine, or through a proxy, for a token first.

    Args:
        app: The application behind it.
        sessions: Who is signed in.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or send it to the sign-in."""
        if scope["type"] != "http" or scope["path"].startswith(_OPEN) or _is_local(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if self._sessions.find(request.cookies.get(COOKIE, "")) is None:
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            await RedirectResponse(f"/sign-in?next={quote(path)}", status_code=303)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    is_forwarded = any(name in (b"x-forwarded-for", b"forwarded") for name, _ in scope["headers"])
    return client is not None and is_loopback(client[0]) and not is_forwarded
