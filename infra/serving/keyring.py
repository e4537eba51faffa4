"""Whose token a request carries: answered from memory, which hears of new and revoked tokens within two seconds."""

import logging
import threading
from datetime import UTC, datetime
from typing import Final

from infra.access import AccessTokens, Caller, Role
from infra.serving.calls import Call
from infra.serving.problems import RefusedError
from recmodels.errors import EverfeedError

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
"""How often the tokens are read; a revocation holds within it plus one read."""


class Keyring:
    """The tokens that open this gateway; no request waits for the database.

    While the database does not answer, the last known tokens hold; before it ever answered, the write token alone.

    Args:
        tokens: Where they are kept.
        poll_seconds: Time between two reads.
    """

    def __init__(self, tokens: AccessTokens, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._tokens = tokens
        self._poll_seconds = poll_seconds
        self._book = tokens.owners_book()
        self._is_failing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keyring", daemon=True)

    def start(self) -> None:
        """Read the tokens, then go on in the background."""
        self._read()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def require(self, call: Call, role: Role) -> Caller:
        """Return who asks.

        Raises:
            RefusedError: 401, there is no token, or one that is unknown, revoked or expired, of which nobody is told
                which; 403, the token is one of a lesser role.
        """
        scheme, _, given = call.header(b"authorization").partition(" ")
        caller = self._book.caller(given.strip(), now=datetime.now(UTC)) if scheme.lower() == "bearer" else None
        if caller is None:
            raise RefusedError(
                401,
                "the token is missing or wrong",
                where="header Authorization",
                expected=f"Bearer followed by a token of role {role}",
                what_to_do=f"an operator makes one with `everfeed tokens add NAME --role {role}`; the owner's own is in"
                " secrets/write_token in the home folder, or in EVERFEED_WRITE_TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not caller.role.covers(role):
            raise RefusedError(
                403,
                f"the token of {caller.name} is of role {caller.role}, which may not do that",
                where="header Authorization",
                expected=f"Bearer followed by a token of role {role}",
                what_to_do=f"an operator makes one with `everfeed tokens add NAME --role {role}`",
            )
        return caller

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            self._read()

    def _read(self) -> None:
        try:
            self._book = self._tokens.book()
        except EverfeedError as error:
            if not self._is_failing:
                _log.warning("tokens not readable, the last known ones hold: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False
