"""The pages that are looked at: each reads the stores and what other services said last, and is drawn at once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from infra.audit_log import AuditLog
from infra.console import drift
from infra.console.desk import Desk
from infra.console.incidents import read_incident, read_incidents
from infra.console.links import Links
from infra.console.rollout_view import read_rollout
from infra.console.room import read_figures, read_room
from infra.console.sessions import COOKIE, Session, Sessions
from infra.console.users import compare, read_user
from infra.console.watch import Watch
from infra.database import Database
from infra.outbox import Outbox
from infra.rollouts import RolloutStore
from infra.serving.schemas import ExplainRequest
from infra.settings import Settings
from recmodels.errors import StoreError

_INCIDENTS, _RECORDS, _LOOKS, _GROUPS, _FIGURES = 100, 100, 60, 200, 60


@dataclass(frozen=True)
class Pages:
    """The pages over one home.

    Attributes:
        settings: Where everything is.
        database: An open database.
        desk: What the layer above does.
        watch: The other services.
        sessions: Who is signed in.
        templates: The templates.
    """

    settings: Settings
    database: Database
    desk: Desk
    watch: Watch
    sessions: Sessions
    templates: Environment

    async def show(self, request: Request, template: str, *, status: int = 200, **facts: Any) -> Response:
        """Return a page; a browser that has it already is told so."""
        session = await self.session(request)
        notices = tuple(session.notices) if session else ()
        html = self.templates.get_template(template).render(
            **facts,
            now=datetime.now(UTC),
            path=request.url.path,
            address=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            links=Links(self.settings),
            session=session,
            notices=notices,
            live_seconds=5,
        )
        tag = f'"{hashlib.blake2b(html.encode(), digest_size=12).hexdigest()}"'
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        if session and request.method == "GET" and "x-live" not in request.headers:
            session.notices.clear()
        return HTMLResponse(html, status_code=status, headers={"etag": tag})

    async def session(self, request: Request) -> Session | None:
        """Return who is signed in."""
        key = request.cookies.get(COOKIE, "")
        return await asyncio.to_thread(self.sessions.find, key) if key else None

    async def home(self, request: Request) -> Response:
        """The control room."""
        heard = await self.watch.hear()
        room = await asyncio.to_thread(
            read_room,
            self.settings,
            self.database,
            self.desk,
            pasts=heard.flow_pasts,
            tracked=heard.tracked.value or {},
            ingested=heard.stage,
            now=datetime.now(UTC),
        )
        return await self.show(request, "home.html", room=room, heard=heard)

    async def rollouts(self, request: Request) -> Response:
        """Champions and rollouts."""
        store = RolloutStore(self.database)
        champions, rollouts = await asyncio.gather(asyncio.to_thread(store.history), asyncio.to_thread(store.rollouts))
        ends = [None, *(one.since for one in champions[:0:-1])]
        served = list(zip(champions[::-1], ends, strict=True)) if champions else []
        return await self.show(request, "rollouts.html", served=served, rollouts=rollouts)

    async def rollout(self, request: Request) -> Response:
        """One rollout with its looks."""

        def read() -> Any:
            store = RolloutStore(self.database)
            known = store.rollout(request.path_params["rollout_id"])
            return read_rollout(store, known, self.desk, num_looks=_LOOKS)

        return await self._found(request, "rollout.html", view=read)

    async def drift(self, request: Request) -> Response:
        """Every figure with its band."""
        figures, problem = await asyncio.to_thread(read_figures, self.settings)
        known = drift.ordered(figures.figures) if figures else []
        families = sorted({one.family for one in known})
        chosen = request.query_params.get("family", "")
        wanted = [one for one in known if chosen in {"", one.family}]
        return await self.show(
            request,
            "drift.html",
            figures=figures,
            problem=problem,
            views=[drift.view(one) for one in wanted[:_FIGURES]],
            total=len(wanted),
            families=families,
            chosen=chosen if chosen in families else "",
        )

    async def incidents(self, request: Request) -> Response:
        """Incidents and silences."""
        outbox, now = Outbox(self.database), datetime.now(UTC)
        found = await asyncio.to_thread(read_incidents, outbox, now=now, limit=_INCIDENTS)
        silences = await asyncio.to_thread(outbox.silences, now=now)
        channels = await asyncio.to_thread(outbox.channels)
        return await self.show(request, "incidents.html", incidents=found, silences=silences, channels=channels)

    async def incident(self, request: Request) -> Response:
        """One incident with what each channel was sent."""

        def read() -> Any:
            return read_incident(Outbox(self.database), request.path_params["incident_id"], now=datetime.now(UTC))

        return await self._found(request, "incident.html", found=read)

    async def quarantine(self, request: Request) -> Response:
        """Rows that are kept back."""
        answer = await self.watch.quarantine.read()
        groups = answer.value or ()
        return await self.show(
            request,
            "quarantine.html",
            answer=answer,
            groups=groups[:_GROUPS],
            total=sum(one.rows for one in groups),
            released=sum(one.released for one in groups),
        )

    async def audit(self, request: Request) -> Response:
        """Who changed what."""
        before, problem = None, ""
        given = request.query_params.get("before", "")
        if given:
            try:
                before = datetime.fromisoformat(given).astimezone(UTC)
            except ValueError:
                problem = f"{given!r} is no time such as 2026-03-01T12:00+00:00; the newest records are shown."
        records = await asyncio.to_thread(AuditLog(self.database).recent, _RECORDS, before=before)
        return await self.show(
            request, "audit.html", records=records, before=before, problem=problem, is_full=len(records) == _RECORDS
        )

    async def users(self, request: Request) -> Response:
        """A user's lists, and why they changed."""
        user = request.query_params.get("user", "").strip()
        surface = request.query_params.get("surface", "").strip() or "video"
        heard = await self.watch.hear()
        facts: dict[str, Any] = {"user": user, "surface": surface, "answer": None, "problem": "", "record": None}
        if user:
            facts["record"] = await asyncio.to_thread(
                read_user, self.database, user, secret=self.settings.user_secret(), now=datetime.now(UTC)
            )
            try:
                facts["answer"] = await self.watch.gateway.explain(ExplainRequest(user, surface))
            except (StoreError, msgspec.MsgspecError) as error:
                facts["problem"] = str(error)
        compared = compare(facts["answer"]) if facts["answer"] else None
        answer = await self.show(request, "users.html", **facts, compared=compared, heard=heard)
        answer.headers["cache-control"] = "no-store"  # it holds what a person did
        return answer

    async def _found(self, request: Request, template: str, **reads: Callable[[], Any]) -> Response:
        """Show what one reading found, or that there is no such thing."""
        ((name, read),) = reads.items()
        try:
            found = await asyncio.to_thread(read)
        except StoreError as error:
            return await self.show(request, "problem.html", status=404, title="Not found", words=str(error))
        return await self.show(request, template, **{name: found})


Handler = Callable[[Request], Awaitable[Response]]
