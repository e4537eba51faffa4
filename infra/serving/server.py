"""uvicorn with a drain that fails nobody, a fair share of the connections, and news for the parent.

Plain uvicorn closes idle keep-alive connections at once when it stops; a client that has just written a request on one
gets a reset. Here every answer on the way out says `Connection: close`, and a connection that stays silent is closed
only after a time in which its client would have used it.

Its event loop takes every connection that waits in one go, so that of two workers one may get 14 of 16 and keep them
for hours. Here a worker takes one in each turn of its loop, so that who has less to do takes more, and while it has
few, it leaves a moment to the others after each.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.serving.parent import ALIVE, LEAVING, READY
from infra.serving.shield import Refuse, ShieldedProtocol

_log = logging.getLogger(__name__)

LEAVE_GRACE_SECONDS = 6.0
"""How long a silent connection is kept by a worker that leaves to others; more than the 5 s after which common clients
give up an idle connection by themselves."""

STOP_GRACE_SECONDS = 0.5
"""The same when the whole gateway stops: no one will answer afterwards anyway."""

_TICK_SECONDS = 0.05
_NO_FILES_SECONDS = 0.5
_MOMENT_SECONDS = 0.001
_FEW_CONNECTIONS = 64
"""With more than these, chance makes the shares even."""


class DrainingServer(uvicorn.Server):
    """Serves on an inherited socket until SIGTERM, or until the lifeline ends, then drains.

    Args:
        config: uvicorn's own settings.
        lifeline: Pipe that ends when the whole gateway stops; None where it runs by itself.
        news: Pipe for letters to the parent; None where it runs by itself.
        has_siblings: Other workers listen on the same socket.
        on_leave: Called when the drain begins.
        on_second: Called about once a second while it serves.
        refuse: Decides on the head of a request alone.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        lifeline: int | None = None,
        news: int | None = None,
        has_siblings: bool = False,
        on_leave: Callable[[], None] = lambda: None,
        on_second: Callable[[], None] = lambda: None,
        refuse: Refuse = lambda _method, _target: None,
    ) -> None:
        super().__init__(config)
        self._has_siblings = has_siblings
        self._on_leave = on_leave
        self._on_second = on_second
        self._refuse = refuse
        self._arriving: set[asyncio.Task[None]] = set()
        self._lifeline = lifeline
        self._news = news
        self._grace_seconds = LEAVE_GRACE_SECONDS

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and accept connections."""
        if self._lifeline is not None:
            asyncio.get_running_loop().add_reader(self._lifeline, self._end)
        await super().startup([])
        for listener in sockets or []:
            listener.setblocking(False)  # noqa: FBT003 - it takes no keywords
            self._listen(listener)
        self._tell(READY)

    async def on_tick(self, counter: int) -> bool:
        """Say each second that the loop runs; decide whether to go on."""
        if counter % 10 == 0:
            self._tell(ALIVE)
            self._on_second()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing new, answer on open connections until each is told to close, then end the application."""
        self._tell(LEAVING)
        self._on_leave()
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self.config.encoded_headers.append((b"connection", b"close"))
        await self.on_tick(0)  # makes the headers of the answers from here on
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._are_open() and loop.time() < began + self._grace_seconds and not self.force_exit:
            await asyncio.sleep(_TICK_SECONDS)
        await super().shutdown([])

    def _are_open(self) -> bool:
        """Whether a connection is left; those that answer now are told to close behind the answer."""
        for connection in self.server_state.connections:
            if (
                isinstance(connection, HttpToolsProtocol)
                and connection.cycle
                and not connection.cycle.response_complete
            ):
                connection.cycle.keep_alive = False
        return bool(self.server_state.connections or self._arriving)

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:  # else it was closed during a pause
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was quicker, or the client went away
        except OSError as error:
            _log.error("no connection can be accepted for a while: %s", error)  # too many open files, most likely
            self._pause(listener, _NO_FILES_SECONDS)
            return
        if self._has_siblings and len(self.server_state.connections) < _FEW_CONNECTIONS:
            self._pause(listener, _MOMENT_SECONDS)
        connection.setblocking(False)  # noqa: FBT003 - it takes no keywords
        arriving = loop.create_task(self._take(loop, connection))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(seconds, self._listen, listener)

    async def _take(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        def protocol() -> HttpToolsProtocol:
            return ShieldedProtocol(self.config, self.server_state, self.lifespan.state, loop, refuse=self._refuse)

        try:
            await loop.connect_accepted_socket(protocol, connection)
        except OSError as error:
            _log.info("a connection ended before it began: %s", error)

    def _end(self) -> None:
        assert self._lifeline is not None, "watched only where there is one"
        asyncio.get_running_loop().remove_reader(self._lifeline)
        self._grace_seconds = STOP_GRACE_SECONDS
        self.should_exit = True

    def _tell(self, letter: bytes) -> None:
        if self._news is None:
            return
        try:
            os.write(self._news, letter)
        except BrokenPipeError:
            self._news = None  # the parent died; the lifeline ends, too
