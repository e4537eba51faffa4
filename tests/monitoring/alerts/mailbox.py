"""A real SMTP server on loopback that answers as it is told and keeps the mail it took."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

CUT = "cut"
HANG = "hang"


@dataclass
class Mailbox:
    """What the server was told and what it took.

    Attributes:
        port: Where it listens.
        answers: Answers to the next messages; 250 after the last. `CUT` drops the connection after the message was
            read, `HANG` answers only after a second.
        refused: Recipients that it refuses.
        messages: What it took.
    """

    port: int = 0
    answers: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    messages: list[EmailMessage] = field(default_factory=list)

    def keys(self) -> list[str]:
        return [str(message["X-Everfeed-Key"]) for message in self.messages]


class _Handler:
    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.mailbox.refused:
            return f"550 5.1.1 no such user {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.mailbox.answers.pop(0) if self.mailbox.answers else "250 OK"
        if answer == CUT:
            reset = server.transport.get_extra_info("socket")
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.transport.abort()
            return "250 nobody hears it"
        if answer == HANG:
            await asyncio.sleep(1)
            answer = "250 OK"
        if answer.startswith("250"):
            self.mailbox.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        return answer


@contextmanager
def receiving(
    *answers: str, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, password: str = ""
) -> Iterator[Mailbox]:
    """Open a mailbox; with a password, it wants the user `everfeed` to log in, over TLS."""
    mailbox = Mailbox(answers=list(answers))

    def authenticate(server, session, envelope, mechanism, data: LoginPassword) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"everfeed", password.encode()), handled=False)

    def session() -> SMTP:
        login = {"authenticator": authenticate, "auth_required": True} if password else {}
        return SMTP(_Handler(mailbox), hostname="localhost", tls_context=starttls, loop=loop, **login)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0, ssl=tls))
    mailbox.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield mailbox
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Close the socket, and end sessions whose clients went away in the middle."""
    server.close()
    mine = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not mine:
            task.cancel()
    await asyncio.sleep(0)
