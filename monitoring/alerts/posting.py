"""One HTTP POST of an alert: which answers are a delivery, which are worth another try, and when.

It stands on the standard library's client: a third of the work of a general one, and the shorter the moment between the
sink's answer and the outbox's note of it, the rarer a second copy after a crash.
"""

import base64
import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from select import select
from urllib.parse import unquote, urlsplit

from pydantic import AnyHttpUrl

from monitoring.alerts.alert import DeliveryError

MISCONFIGURED_SECONDS = 300.0
"""Wait after an answer that only a person can change, such as a wrong token: the alerts wait until it is corrected."""

_REFUSALS = {400, 413, 414, 415, 422}
_TRANSIENT = {408, 409, 425, 429}
_AMBIGUOUS = {408, 502, 504}
_READ_BYTES = 8192
_IDLE_SECONDS = 30.0


class Poster:
    """Posts to one address over connections that are kept; safe to share between threads.

    Args:
        url: Address, http or https; never shown but for its host.
        timeout_seconds: Longest wait for a connection, and for each part of the answer.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        parts = urlsplit(str(AnyHttpUrl(url)))
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_tls else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._login = _basic(parts.username, parts.password)
        self._timeout_seconds = timeout_seconds
        self._idle: deque[tuple[float, HTTPConnection]] = deque()
        weakref.finalize(self, _close_all, self._idle)

    @property
    def where(self) -> str:
        """Host and port, which are no secret."""
        return f"{self._host}:{self._port}"

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Post once; any 2xx answer is a delivery, whatever becomes of the rest of the answer.

        Raises:
            DeliveryError: 400, 413, 414, 415 or 422: refused for good. No connection, 409, 425, 429 or 5xx: to be
                tried again, not before `Retry-After`. No answer in time, a lost connection, 408, 502 or 504: to be
                tried again and ambiguous. Any other answer, such as 401 or a redirect, and a certificate that is not
                trusted: to be tried again seldom.
        """
        connection = self._reused() or self._connected()
        try:
            connection.request("POST", self._target, body, {**self._login, **headers})
            answer = connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            reason = f"{self.where} did not answer: {type(error).__name__}"
            raise DeliveryError(reason, is_retryable=True, is_ambiguous=True) from error
        words = self._finish(connection, answer)
        if not 200 <= answer.status < 300:
            raise _failure(answer, f"{self.where} answered {answer.status}{words}")

    def _connected(self) -> HTTPConnection:
        made = (
            HTTPSConnection(self._host, self._port, timeout=self._timeout_seconds, context=_trust())
            if self._is_tls
            else HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
        )
        try:
            made.connect()
        except OSError as error:
            made.close()
            is_untrusted = isinstance(error, ssl.SSLCertVerificationError)
            raise DeliveryError(
                f"{self.where} cannot be reached: {type(error).__name__}",
                is_retryable=True,
                retry_after_seconds=MISCONFIGURED_SECONDS if is_untrusted else None,
            ) from error
        return made

    def _reused(self) -> HTTPConnection | None:
        """Return a connection that was kept; one that the far end closed meanwhile is readable, and dropped."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread took the last one
                return None
            if time.monotonic() - since < _IDLE_SECONDS and not select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def _finish(self, connection: HTTPConnection, answer: HTTPResponse) -> str:
        """Read the start of the answer, keep the connection if that was all, and return its code word if it is one."""
        try:
            read = answer.read(_READ_BYTES)
        except (OSError, HTTPException):  # the status has come, and it decides
            read = b""
            connection.close()
        if answer.isclosed() and not answer.will_close and connection.sock is not None:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()
        is_code = 0 < len(read) <= 60 and read.replace(b"_", b"").isalpha()
        return f" ({read.decode()})" if is_code and answer.status >= 300 else ""


def _failure(answer: HTTPResponse, reason: str) -> DeliveryError:
    status = answer.status
    if status in _REFUSALS:
        return DeliveryError(reason, is_retryable=False)
    wait = _retry_after(answer)
    if wait is None and status not in _TRANSIENT and status < 500:
        wait = MISCONFIGURED_SECONDS
    return DeliveryError(reason, is_retryable=True, is_ambiguous=status in _AMBIGUOUS, retry_after_seconds=wait)


def _retry_after(answer: HTTPResponse) -> float | None:
    """Return the seconds of `Retry-After`; a date counts from the answer's own, so that no clock must agree."""
    value = answer.getheader("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(answer.getheader("Date", ""))
    except (TypeError, ValueError):  # one of them is missing or no date, or only one has a zone
        return None
    return max(0.0, wait.total_seconds())


def _basic(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


@cache
def _trust() -> ssl.SSLContext:
    """Return what certificates are checked with; made once, since it takes 30 ms and some memory."""
    return ssl.create_default_context()


def _close_all(idle: deque[tuple[float, HTTPConnection]]) -> None:
    for _, connection in idle:
        connection.close()
