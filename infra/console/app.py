"""The control room as an ASGI application: one page, its style sheet, and the reports that flows left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.console import page
from infra.console.gateway_client import GatewayClient
from infra.console.room import read_room
from infra.database import Database
from infra.serving.problems import answer_bug, answer_http_exception
from infra.serving.schemas import ExplainRequest, ExplainResponse, StatusResponse
from infra.serving.security import Guard, allowed_hosts
from infra.settings import Settings
from recmodels.errors import StoreError

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'self' {origin} 'unsafe-inline' 'unsafe-eval' data: blob:;"
    " connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Reports bring scripts of their own: they run in a sandbox, away from this page, and reach nothing outside."""


@dataclass(frozen=True)
class Preview:
    """A user's lists, as asked for in the page's form."""

    user: str = ""
    surface: str = "video"
    answer: ExplainResponse | None = None
    problem: str = ""


def create_app(settings: Settings, database: Database) -> Starlette:
    """Return the control room.

    Args:
        settings: Where everything is.
        database: An open database; only read here, and closed by the caller after the application ended.
    """
    gateway = GatewayClient(settings.gateway_url, token=settings.token())
    settings.reports.mkdir(parents=True, exist_ok=True)
    template = page.environment().get_template("page.html")

    async def show(request: Request) -> Response:
        status, preview = await asyncio.gather(_status(gateway), _preview(gateway, request))
        now = datetime.now(UTC)
        html = template.render(
            now=now,
            links=_links(settings),
            room=await asyncio.to_thread(read_room, settings, database, now=now),
            gateway=status if isinstance(status, StatusResponse) else None,
            gateway_problem=status if isinstance(status, str) else "",
            user=preview.user,
            surface=preview.surface,
            preview=preview.answer,
            preview_problem=preview.problem,
        )
        return HTMLResponse(html)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await gateway.close()

    reports = StaticFiles(directory=settings.reports, html=True)
    return Starlette(
        routes=[
            Route("/", show),
            Route("/healthz", _health),
            Mount("/static", StaticFiles(directory=page.FOLDER / "static")),
            Mount("/reports", Headers(reports, policy=_REPORT_POLICY.format(origin=settings.console_url))),
        ],
        middleware=[
            Middleware(Guard, hosts=allowed_hosts(settings.host)),
            Middleware(Headers, policy=_PAGE_POLICY),
        ],
        exception_handlers={HTTPException: answer_http_exception, StoreError: _unreadable, Exception: answer_bug},
        lifespan=lifespan,
    )


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
            b"referrer-policy": b"no-referrer",
            b"cache-control": b"no-cache",
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


async def _health(_request: Request) -> Response:
    return JSONResponse({"is_ok": True, "detail": "alive"})


async def _unreadable(_request: Request, error: Exception) -> Response:
    return Response(f"The control room cannot read its stores: {error}", status_code=503, media_type="text/plain")


async def _status(gateway: GatewayClient) -> StatusResponse | str:
    try:
        return await gateway.status()
    except StoreError as error:
        return str(error)


async def _preview(gateway: GatewayClient, request: Request) -> Preview:
    user = request.query_params.get("user", "").strip()
    surface = request.query_params.get("surface", "").strip() or Preview.surface
    if not user:
        return Preview(surface=surface)
    try:
        return Preview(user, surface, answer=await gateway.explain(ExplainRequest(user, surface)))
    except (StoreError, msgspec.MsgspecError) as error:
        return Preview(user, surface, problem=str(error))


def _links(settings: Settings) -> list[tuple[str, str]]:
    return [
        ("Prefect", settings.prefect_url),
        ("MLflow", settings.mlflow_ui_url),
        *([("Evidently", settings.evidently_url)] if settings.evidently else []),
        ("Data Docs", "/reports/data_docs/index.html"),
        *([("Analysis", "/reports/analysis/report.html")] if _has_analysis(settings) else []),
        ("Gateway", f"{settings.gateway_url}/v1/status"),
    ]


def _has_analysis(settings: Settings) -> bool:
    return (settings.reports / "analysis" / "report.html").exists()
