"""A real HTTP server on loopback that answers as it is told and remembers what it got."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESET = -1
HANG = -2
STALL = -3


@dataclass
class Sink:
    """What the server was told and what it got.

    Attributes:
        answers: Statuses of the next answers; 204 after the last. `RESET` reads, then cuts the connection; `HANG`
            reads, then answers only after a second; `STALL` answers 200 and holds back the body for a second.
        headers: Sent with every answer that is not a success.
        body: Sent with every answer that is not a success.
        requests: (headers, body) of each request that was read.
        closes_after: Close the connection after each answer, without saying so before.
    """

    url: str = ""
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    closes_after: bool = False

    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for headers, _ in self.requests]


@contextmanager
def listening(
    *answers: int, headers: dict[str, str] | None = None, body: bytes = b"", tls: ssl.SSLContext | None = None
) -> Iterator[Sink]:
    sink = Sink(answers=list(answers), headers=headers or {}, body=body)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.requests.append((dict(self.headers), body))
            answer = sink.answers.pop(0) if sink.answers else 204
            if answer == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            if answer == HANG:
                time.sleep(1)
                answer = 204
            self.send_response(200 if answer == STALL else answer)
            if answer in {301, 302, 307}:
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self._finish(answer)

        def _finish(self, answer: int) -> None:
            failure = sink.body if answer >= 300 else b""
            for name, value in sink.headers.items() if answer >= 300 else ():
                self.send_header(name, value)
            if answer != 204:
                self.send_header("Content-Length", "5" if answer == STALL else str(len(failure)))
            self.end_headers()
            if answer == STALL:
                self.wfile.flush()
                time.sleep(1)
                self.close_connection = True
            elif failure:
                self.wfile.write(failure)
            self.close_connection = self.close_connection or sink.closes_after

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Cut connections are what is tested."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        sink.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


def free_url() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/hook"
