"""Who is signed in: a token exchanged for a cookie, and what every form must carry.

The cookie is a random key that means something in this process alone. The token behind it is asked about again at every
use, so that a revoked one ends its sessions at once.
"""

import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.access import AccessTokens, Caller, Role

COOKIE = "everfeed_session"
LIFE_SECONDS = 8 * 3600
"""A session ends so long after it began, whatever is done in it."""
_MOST_SESSIONS = 200
_FREE_TRIES, _TRY_SECONDS, _MOST_ADDRESSES = 10, 60.0, 1000


@dataclass
class Session:
    """One signed-in browser.

    Attributes:
        key: What the cookie holds.
        token: What it was opened with.
        caller: Whose it is.
        form_key: What every form of it must carry.
        began: When it began, on the monotonic clock.
        notices: What was done, to be shown on the next page.
    """

    key: str
    token: str = field(repr=False)
    caller: Caller
    form_key: str = field(repr=False)
    began: float
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=5))

    @property
    def actor(self) -> str:
        """Who acts, as the audit log names them."""
        return f"console:{self.caller.name}"

    @property
    def is_operator(self) -> bool:
        """Whether it may change anything."""
        return self.caller.role.covers(Role.OPERATOR)


class Sessions:
    """The sessions of this process.

    Args:
        tokens: The tokens that open one.
    """

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def is_locked(self, address: str) -> bool:
        """Return whether too many wrong tokens came from an address lately: it waits for the rest of a minute."""
        known = self._failures.get(address)
        if known is None or len(known) < _FREE_TRIES:
            return False
        return time.monotonic() - known[0] < _TRY_SECONDS

    def open(self, token: str, *, address: str) -> Session | None:
        """Return a new session, or None where the token opens nothing."""
        caller = self._tokens.caller(token, now=datetime.now(UTC))
        if caller is None:
            self._failures.setdefault(address, deque(maxlen=_FREE_TRIES)).append(time.monotonic())
            self._failures.move_to_end(address)
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)
            return None
        session = Session(secrets.token_urlsafe(32), token, caller, secrets.token_urlsafe(32), time.monotonic())
        self._sessions[session.key] = session
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def find(self, key: str) -> Session | None:
        """Return the session of a cookie; None where there is none, it has ended, or its token no longer holds."""
        session = self._sessions.get(key)
        if session is None:
            return None
        caller = self._tokens.caller(session.token, now=datetime.now(UTC))
        if caller is None or time.monotonic() - session.began > LIFE_SECONDS:
            self.close(key)
            return None
        session.caller = caller
        return session

    def close(self, key: str) -> None:
        """End a session."""
        self._sessions.pop(key, None)

    def is_own_form(self, session: Session, given: str) -> bool:
        """Return whether a form was made for this session."""
        return secrets.compare_digest(session.form_key.encode(), given.encode())
