"""The control room as an ASGI application: its pages, its actions, its style sheet, and the reports of flows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from infra.access import AccessTokens
from infra.console import page
from infra.console.actions import VERBS, Actions
from infra.console.desk import Desk
from infra.console.headers import PAGE_POLICY, REPORT_POLICY, Headers, Viewers
from infra.console.pages import Pages
from infra.console.sessions import Sessions
from infra.console.watch import Watch
from infra.database import Database
from infra.serving.problems import RefusedError
from infra.serving.security import Guard, allowed_hosts
from infra.settings import Settings
from recmodels.errors import StoreError

_Handler = Callable[[Request, Exception], Awaitable[Response]]
_STORE = (
    "The control room cannot read its stores. It shows them again as soon as they can be read; the gateway goes on"
    " serving what it has loaded. "
)
_BUG = (
    "The control room failed, and its log, logs/console.log in the home, says how. If you were doing something, the"
    " audit log says whether it was done."
)


def create_app(settings: Settings, database: Database, desk: Desk) -> Starlette:
    """Return the control room.

    Args:
        settings: Where everything is.
        database: An open database, closed by the caller after the application ended.
        desk: What the layer above does.
    """
    settings.reports.mkdir(parents=True, exist_ok=True)
    sessions = Sessions(AccessTokens(database, master=settings.token()))
    watch = Watch(settings, database, desk)
    pages = Pages(settings, database, desk, watch, sessions, page.environment())

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for name in pages.templates.list_templates():
            pages.templates.get_template(name)  # compiled now rather than for the first who asks
        yield
        await watch.close()

    return Starlette(
        routes=[*_routes(pages), *_mounts(settings)],
        middleware=[
            Middleware(Guard, hosts=allowed_hosts(settings.host)),
            Middleware(Headers, policy=PAGE_POLICY),
            Middleware(Viewers, sessions=sessions),
        ],
        exception_handlers=_failures(pages),
        lifespan=lifespan,
    )


def _failures(pages: Pages) -> dict[Any, _Handler]:
    """Return the pages that are shown in the place of others, by what went wrong."""

    async def missing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for this type only"
        words = f"{request.method} {request.url.path} is nothing of the control room's."
        facts = {"title": error.detail, "words": words}
        answer = await pages.show(request, "problem.html", status=error.status_code, **facts)
        answer.headers.update(error.headers or {})
        return answer

    async def unreadable(_request: Request, error: Exception) -> Response:
        words = f"{_STORE}{error}"
        html = pages.templates.get_template("unreadable.html").render(words=words)
        return Response(html, status_code=503, media_type="text/html")

    async def failed(_request: Request, _error: Exception) -> Response:
        html = pages.templates.get_template("unreadable.html").render(words=_BUG)
        return Response(html, status_code=500, media_type="text/html")

    return {HTTPException: missing, StoreError: unreadable, RefusedError: _refused, Exception: failed}


def _routes(pages: Pages) -> list[Route]:
    actions = Actions(pages)
    return [
        Route("/", pages.home),
        Route("/rollouts", pages.rollouts),
        Route("/rollouts/{rollout_id:str}", pages.rollout),
        Route("/drift", pages.drift),
        Route("/incidents", pages.incidents),
        Route("/incidents/{incident_id:str}", pages.incident),
        Route("/quarantine", pages.quarantine),
        Route("/users", pages.users),
        Route("/audit", pages.audit),
        Route("/sign-in", actions.sign_in, methods=["GET", "POST"]),
        Route("/sign-out", actions.sign_out, methods=["POST"]),
        *(Route(f"/act/{name}", actions.act, methods=["GET", "POST"]) for name in VERBS),
        Route("/healthz", _health),
    ]


def _mounts(settings: Settings) -> list[Mount]:
    reports = StaticFiles(directory=settings.reports, html=True)
    return [
        Mount("/static", StaticFiles(directory=page.FOLDER / "static")),
        Mount("/reports", Headers(reports, policy=REPORT_POLICY.format(origin=settings.console_url))),
    ]


async def _health(_request: Request) -> Response:
    return JSONResponse({"is_ok": True, "detail": "alive"})


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError), "registered for this type only"
    return error.response()
