"""HTTP as uvicorn speaks it, except that a refusal is written as soon as the head of its request has been read.

An overloaded worker answers most requests with the same few bytes. On the usual way such an answer costs a task, an
event and a dictionary, and it waits for everything that the loop has to do before that task; here it leaves while the
loop still reads its sockets.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from infra.serving.calls import Answer

Refuse = Callable[[bytes, bytes], Answer | None]
"""Given the method and the target as they were sent, the refusal, or None where the request is to be looked at."""


class _Answered:
    """Stands in the place of a request that needs nothing any more: its body, if one follows, is passed over."""

    response_complete = True

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class ShieldedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        config: uvicorn's settings.
        server_state: Of the server.
        app_state: Of the application.
        loop: That it runs on.
        refuse: Decides on the head of a request alone.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        *,
        refuse: Refuse,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._refuse = refuse

    def on_headers_complete(self) -> None:
        """Refuse the request at once, or take it; one behind another that is not answered yet is always taken."""
        is_free = self.cycle is None or self.cycle.response_complete
        answer = self._refuse(self.parser.get_method(), self.url) if is_free else None
        if answer is None:
            super().on_headers_complete()
        else:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        keeps = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        self.cycle = _Answered()  # type: ignore[assignment]  # all that the protocol asks of an answered request
        headers = [*self.server_state.default_headers, (b"content-type", answer.media_type), *answer.headers]
        headers += [(b"content-length", b"%d" % len(answer.body))] + ([] if keeps else [(b"connection", b"close")])
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[answer.status], head, answer.body))
        if not keeps:
            self.transport.close()
        self.on_response_complete()
