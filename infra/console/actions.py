"""Signing in, asking before an action, doing it, and writing it down; every form is checked to be this page's own."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from infra.audit_log import DONE, FAILED, REFUSED, AuditLog
from infra.console import other_verbs, rollout_verbs
from infra.console.pages import Pages
from infra.console.sessions import COOKIE, Session
from infra.console.verbs import Operator, Question, Verb
from infra.serving.security import read_body
from recmodels.errors import EverfeedError

_FORM_LIMIT = 16 * 1024
_MOST_LETTERS = 1000
VERBS = {verb.name: verb for verb in (*rollout_verbs.verbs(), *other_verbs.verbs())}

_OPENS_NOTHING = (
    "This token opens nothing: it is unknown, revoked or expired. The token of the home is in secrets/write_token; an"
    " operator makes others with `everfeed tokens add NAME --role operator`."
)
_LOCKED = "Too many wrong tokens came from your address in the last minute. Wait a minute, then try again."
_FOREIGN = "This form was not made for your session, which may have ended. Nothing was done. Open the question anew."
_VIEWER = "is a viewer's token: it may look and not act. Sign in with an operator's token."


@dataclass(frozen=True)
class Actions:
    """What operators do over one home."""

    pages: Pages

    async def sign_in(self, request: Request) -> Response:
        """Ask for a token, and exchange it for a session."""
        target = _local(request.query_params.get("next", "/"))
        if request.method == "GET":
            return await self.pages.show(request, "sign_in.html", target=target, problem="")
        form = await _form(request)
        target = _local(form.get("next", "/"))
        sessions = self.pages.sessions
        address = request.client.host if request.client else ""
        if sessions.is_locked(address):
            return await self.pages.show(request, "sign_in.html", status=429, target=target, problem=_LOCKED)
        session = await asyncio.to_thread(sessions.open, form.get("token", "").strip(), address=address)
        if session is None:
            await self._note("console:unknown", "sign in", "", REFUSED, "a token that opens nothing")
            return await self.pages.show(request, "sign_in.html", status=403, target=target, problem=_OPENS_NOTHING)
        await self._note(session.actor, "sign in", "", DONE, f"as {session.caller.role}")
        answer = RedirectResponse(target, status_code=303)
        is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        answer.set_cookie(COOKIE, session.key, httponly=True, samesite="strict", secure=is_secure, path="/")
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        session = await self.pages.session(request)
        form = await _form(request)
        if session is not None and not self.pages.sessions.is_own_form(session, form.get("form_key", "")):
            return await self._refused(request, _FOREIGN)
        if session is not None:
            self.pages.sessions.close(session.key)
        answer = RedirectResponse("/", status_code=303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/")
        return answer

    async def act(self, request: Request) -> Response:
        """Ask before an action, or do it."""
        verb = VERBS[request.url.path.rpartition("/")[2]]
        return await (self._do(request, verb) if request.method == "POST" else self._ask(request, verb))

    async def _ask(self, request: Request, verb: Verb) -> Response:
        """Ask before an action; who is not signed in does so first."""
        session = await self.pages.session(request)
        if session is None:
            return RedirectResponse(f"/sign-in?next={quote(f'{request.url.path}?{request.url.query}')}", 303)
        if not session.is_operator:
            return await self._refused(request, f"{session.caller.name!r} {_VIEWER}")
        try:
            question = await verb.ask(self._operator(session), dict(request.query_params))
        except EverfeedError as error:
            return await self._refused(request, str(error), status=409)
        return await self._asked(request, verb, question, problem="")

    async def _do(self, request: Request, verb: Verb) -> Response:
        """Do what was agreed to, and write it down, whatever came of it."""
        session, form = await self.pages.session(request), await _form(request)
        if session is None or not self.pages.sessions.is_own_form(session, form.get("form_key", "")):
            return await self._refused(request, _FOREIGN)
        if not session.is_operator:
            return await self._refused(request, f"{session.caller.name!r} {_VIEWER}")
        operator, subject = self._operator(session), form.get(verb.subject, "")
        if verb.needs_reason and not form.get("reason", "").strip():
            return await self._again(request, verb, operator, form)
        try:
            words = await verb.act(operator, form)
        except EverfeedError as error:
            await self._note(session.actor, verb.action, subject, REFUSED, str(error))
            return await self._refused(request, str(error), status=409)
        except Exception as error:
            await self._note(session.actor, verb.action, subject, FAILED, repr(error))
            raise
        await self._note(session.actor, verb.action, subject, DONE, _said(words, form))
        session.notices.append(words)
        self.pages.watch.schedules.forget()
        return RedirectResponse(_local(form.get("back", "/")), status_code=303)

    async def _again(self, request: Request, verb: Verb, operator: Operator, form: dict[str, str]) -> Response:
        """Ask once more where the reason is empty."""
        try:
            question = await verb.ask(operator, form)
        except EverfeedError as error:
            return await self._refused(request, str(error), status=409)
        return await self._asked(request, verb, question, "Say why in a few words: they are kept with the change.")

    async def _asked(self, request: Request, verb: Verb, question: Question, problem: str) -> Response:
        status = 422 if problem else 200
        return await self.pages.show(request, "ask.html", status=status, verb=verb, question=question, problem=problem)

    async def _refused(self, request: Request, words: str, *, status: int = 403) -> Response:
        return await self.pages.show(request, "problem.html", status=status, title="Nothing was done", words=words)

    def _operator(self, session: Session) -> Operator:
        pages = self.pages
        return Operator(
            pages.settings, pages.database, pages.desk, pages.watch.prefect, session.actor, datetime.now(UTC)
        )

    async def _note(self, actor: str, action: str, subject: str, outcome: str, words: str) -> None:
        log, now = AuditLog(self.pages.database), datetime.now(UTC)
        await asyncio.to_thread(
            log.append, actor=actor, action=action, subject=subject, outcome=outcome, words=words, now=now
        )


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each shortened to what may be kept.

    Raises:
        RefusedError: It is larger than any form of ours.
    """
    body = await read_body(request.receive, limit=_FORM_LIMIT)
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: value.replace("\x00", "")[:_MOST_LETTERS] for name, value in pairs}


def _local(target: str) -> str:
    """Return an address of ours, or the first page for any other one."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_ours else "/"


def _said(words: str, form: dict[str, str]) -> str:
    reason = form.get("reason", "").strip() or form.get("note", "").strip()
    return f"{words} Why: {reason}" if reason else words
