"""The client that measures, against small real servers whose behaviour is known."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from benchmarks.serving.client import LOST, Load, closed_loop, connect, http, run
from benchmarks.serving.open_loop import arrivals, open_loop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
ASK = http("POST", "/x", b'{"user":"a"}')

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_server(handler: Handler, work: Callable[[int], Awaitable[Load]]) -> Load:
    async def both() -> Load:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with server:
            return await work(server.sockets[0].getsockname()[1])

    return run(both())


async def read_one(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(len(ASK) - len(head))


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await read_one(reader) == ASK:
            writer.write(OK)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def test_sends_as_many_requests_as_were_asked_for_when_the_loop_is_closed() -> None:
    load = with_server(answer_all, lambda port: closed_loop(port, [ASK], connections=4, total=50))

    assert list(load.statuses) == [200] * 50
    assert load.failed == 0
    assert min(load.seconds) > 0


def test_latency_counts_from_the_schedule_when_the_server_stalls() -> None:
    async def stall_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one(reader)
        await asyncio.sleep(0.3)
        writer.write(OK)
        await answer_all(reader, writer)

    due = np.array([0.0, 0.1, 0.2])

    load = with_server(stall_first, lambda port: open_loop(port, [ASK], due, connections=1, max_connections=1))

    assert list(load.statuses) == [200] * 3
    assert load.seconds[0] == pytest.approx(0.3, abs=0.09)
    assert load.seconds[1] == pytest.approx(0.2, abs=0.09)  # it was answered at once, 0.2 s after it was due
    assert load.seconds[2] == pytest.approx(0.1, abs=0.09)


def test_a_request_goes_out_again_when_its_used_connection_was_closed_meanwhile() -> None:
    async def close_after_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one(reader)
        writer.write(OK)
        await read_one(reader)
        writer.close()

    due = np.array([0.0, 0.05])

    load = with_server(close_after_one, lambda port: open_loop(port, [ASK], due, connections=1))

    assert list(load.statuses) == [200, 200]
    assert load.retried == 1


def test_a_request_counts_as_lost_when_a_fresh_connection_closes_without_an_answer() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one(reader)
        writer.close()

    load = with_server(close, lambda port: open_loop(port, [ASK], np.array([0.0]), connections=1))

    assert list(load.statuses) == [LOST]
    assert load.failed == 1


def test_follow_ups_are_sent_and_counted_by_themselves_when_the_answer_was_200() -> None:
    load = with_server(
        answer_all,
        lambda port: open_loop(
            port,
            [ASK],
            np.arange(10) / 200,
            follow=lambda number, body: ASK if number % 5 == 0 and body == b"{}" else None,
        ),
    )

    assert list(load.feedback_statuses) == [200, 200]
    assert load.requests == 10


def test_refusals_and_chunked_answers_are_understood() -> None:
    async def refuse_then_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one(reader)
        writer.write(BUSY)
        await read_one(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
        await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        writer.close()

    async def ask_twice() -> list[int]:
        server = await asyncio.start_server(refuse_then_chunk, "127.0.0.1", 0)
        async with server:
            connection = await connect(server.sockets[0].getsockname()[1])
            return [(await connection.ask(ASK))[0] for _ in range(2)]

    assert run(ask_twice()) == [503, 200]


def test_arrivals_come_at_the_rate_that_was_asked_for() -> None:
    moments = arrivals(1000.0, 20.0, rng=np.random.default_rng(1))

    assert len(moments) == pytest.approx(20_000, abs=5 * 20_000**0.5)  # Poisson: five standard deviations
    assert np.all(np.diff(moments) >= 0)
    assert moments[-1] < 20.0
