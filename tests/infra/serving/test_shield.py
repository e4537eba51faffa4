"""The protocol alone, on a real server: what it refuses by the head, and what it leaves to the application."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from infra.serving.calls import Answer
from infra.serving.server import DrainingServer

BUSY = Answer(b'{"error":"busy"}', 503, headers=((b"Retry-After", b"1"),))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def connection() -> Iterator[socket.socket]:
    """A connection to a server that refuses ``POST /full``."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http="httptools", ws="none", lifespan="off", log_level="error", access_log=False)
    server = DrainingServer(config, refuse=lambda method, target: BUSY if (method, target) == FULL else None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


FULL = (b"POST", b"/full")


def request(path: str, body: bytes, *, version: str = "1.1", headers: str = "") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: here\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answer(client: socket.socket, *, ends_with: bytes) -> bytes:
    received = b""
    while not received.endswith(ends_with):
        part = client.recv(65536)
        assert part, f"the connection ended after {received!r}"
        received += part
    return received


def test_a_refusal_tells_when_to_come_back_and_the_connection_serves_on() -> None:
    with connection() as client:
        client.sendall(request("/full", b"x" * 100))
        refused = answer(client, ends_with=BUSY.body)
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nRetry-After: 1\r\n" in refused
        assert b"\r\ncontent-type: application/json\r\ncontent-length: 16\r\n" in refused.replace(
            b"Retry-After: 1\r\n", b""
        )
        client.sendall(request("/free", b"hello"))
        assert answer(client, ends_with=b"hello").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_that_follows_its_refusal_is_passed_over() -> None:
    whole = request("/full", b"y" * 5000)
    with connection() as client:
        client.sendall(whole[:200])
        assert answer(client, ends_with=BUSY.body).count(b"503") == 1
        client.sendall(whole[200:])
        client.sendall(request("/free", b"after"))
        assert answer(client, ends_with=b"after").startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_in_a_row_are_answered_in_their_order_when_one_of_them_is_refused() -> None:
    with connection() as client:
        client.sendall(request("/full", b"") + request("/free", b"second") + request("/free", b"third"))
        received = answer(client, ends_with=b"third")
        places = [received.index(words) for words in (BUSY.body, b"second", b"third")]
        assert places == sorted(places)


def test_one_behind_an_unanswered_request_is_left_to_the_application() -> None:
    with connection() as client:
        client.sendall(request("/free", b"first") + request("/full", b"second"))
        received = answer(client, ends_with=b"second")
        assert b"503" not in received


@pytest.mark.parametrize(("version", "headers"), [("1.0", ""), ("1.1", "Connection: close\r\n")])
def test_the_connection_ends_behind_a_refusal_when_its_client_does_not_keep_it(version: str, headers: str) -> None:
    with connection() as client:
        client.sendall(request("/full", b"z", version=version, headers=headers))
        began = time.monotonic()
        received = b""
        while part := client.recv(65536):
            received += part
        assert received.endswith(BUSY.body)
        assert b"\r\nconnection: close\r\n" in received
        assert time.monotonic() - began < 2
