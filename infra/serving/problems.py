"""Refusals: every answer of 400 or above says what is wrong, where, what was expected and what to do."""

import re
from collections.abc import Mapping, Sequence

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infra.serving.calls import Answer
from infra.serving.schemas import ErrorResponse, Problem

_encoder = msgspec.json.Encoder()
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at (?:key in )?`(?P<where>\$[^`]*)`)?$", re.DOTALL)


class RefusedError(Exception):
    """A request that is answered with a status of 400 or above.

    Args:
        status: HTTP status.
        what: What is wrong.
        where: The place in the request, such as ``"body.k"``.
        expected: What would have been accepted.
        what_to_do: The next step of the caller.
        headers: Further response headers, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str,
        expected: str,
        what_to_do: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.problem = Problem(what=what, where=where, expected=expected, what_to_do=what_to_do)
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        """Return the answer as JSON."""
        body = _encoder.encode(ErrorResponse(error=self.problem))
        headers = tuple((name.lower().encode(), value.encode()) for name, value in self.headers.items())
        return Answer(body, self.status, headers=headers)

    def response(self) -> Response:
        """Return the answer as JSON, for an application of Starlette's."""
        body = _encoder.encode(ErrorResponse(error=self.problem))
        return Response(body, status_code=self.status, media_type="application/json", headers=self.headers)


def not_json(error: Exception) -> RefusedError:
    """Return the refusal of a body that cannot be read as JSON."""
    return RefusedError(
        400,
        f"the body is not valid JSON: {error}",
        where="body",
        expected="a JSON object in UTF-8",
        what_to_do="send the fields that /openapi.json lists for this path",
    )


def not_valid(error: msgspec.ValidationError) -> RefusedError:
    """Return the refusal of a body that is JSON of another shape than the contract's."""
    match = _PLACE.match(str(error))
    assert match is not None, "the pattern matches every text"
    where = "body" + (match["where"] or "$")[1:]
    return RefusedError(
        422,
        f"{where} is not valid",
        where=where,
        expected=match["what"],
        what_to_do="correct the field; /openapi.json lists every field with its limits",
    )


def too_large(limit: int) -> RefusedError:
    """Return the refusal of a body of more than `limit` bytes."""
    return RefusedError(
        413,
        "the body is too large",
        where="body",
        expected=f"at most {limit} bytes",
        what_to_do="send fewer events or a shorter history",
    )


def busy(what: str) -> RefusedError:
    """Return the refusal of a request that the gateway cannot take now."""
    return RefusedError(
        503,
        what,
        where="gateway",
        expected="room in its queues",
        what_to_do="try again after a second",
        headers={"Retry-After": "1"},
    )


def cut_off() -> RefusedError:
    """Return the refusal of a body whose sender went away; nobody reads it but the metrics."""
    return RefusedError(
        400,
        "the connection ended before the body did",
        where="body",
        expected="as many bytes as were announced",
        what_to_do="send the request again",
    )


def not_in_time(seconds: float) -> RefusedError:
    """Return the refusal of a body that did not arrive within `seconds`."""
    return RefusedError(
        408,
        "the body did not arrive in time",
        where="body",
        expected=f"the whole body within {seconds:.0f} s",
        what_to_do="send the request again",
        headers={"Connection": "close"},
    )


def not_found(method: str, path: str, *, allowed: Sequence[str]) -> RefusedError:
    """Return the refusal of an unknown path, or of a known one asked by a method outside `allowed`."""
    methods = ", ".join(allowed)
    return RefusedError(
        405 if allowed else 404,
        f"{method} {path}: {'Method Not Allowed' if allowed else 'Not Found'}",
        where="request line",
        expected=f"one of: {methods}" if allowed else "a path that /openapi.json lists",
        what_to_do="see /openapi.json",
        headers={"Allow": methods} if allowed else None,
    )


def bug() -> RefusedError:
    """Return the answer to what no one foresaw, without telling what it was."""
    return RefusedError(
        500,
        "the gateway failed",
        where="gateway",
        expected="an answer",
        what_to_do="try again; if it stays, look at the gateway's log",
    )


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException), "registered for this type only"
    headers = dict(error.headers or {})
    expected = f"one of: {headers['Allow']}" if "Allow" in headers else "a path that /openapi.json lists"
    return RefusedError(
        error.status_code,
        f"{request.method} {request.url.path}: {error.detail}",
        where="request line",
        expected=expected,
        what_to_do="see /openapi.json",
        headers=headers,
    ).response()


async def answer_bug(_request: Request, _error: Exception) -> Response:
    """Answer what no one foresaw; the server logs it."""
    return bug().response()
