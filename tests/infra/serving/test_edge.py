"""The edge alone, spoken to as a server would: what is refused before an endpoint sees it, and at what price."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from infra.serving import edge as edge_module
from infra.serving.admission import Admission, Lane
from infra.serving.calls import Answer, Call
from infra.serving.edge import Edge, Route
from infra.serving.instruments import Instruments
from infra.serving.limits import BYTES, RateLimiter
from infra.serving.security import BODY_LIMIT, HeaderCheck

HOST = (b"host", b"127.0.0.1:8700")


async def echo(call: Call) -> Answer:
    return Answer(call.body or b"nothing")


async def fail(_call: Call) -> Answer:
    raise ZeroDivisionError("a secret")


async def never(_call: Call) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("only the start and the end of the process come here")


class Served:
    """An edge with one lane, and what its answers were."""

    def __init__(self, *, limiter: RateLimiter | None = None, least: int = 4) -> None:
        self.instruments = Instruments()
        self.lane = Lane("recommend", wait_seconds=0.05, burst_seconds=0.25, least=least)
        self.edge = Edge(
            [
                Route("/echo", "POST", echo, self.lane),
                Route("/never", "POST", never, self.lane),
                Route("/admin", "POST", echo),
                Route("/fail", "POST", fail),
                Route("/probe", "GET", echo),
            ],
            lifecycle=nothing,
            admission=Admission([self.lane], refused=self.instruments.refused),
            headers=HeaderCheck(hosts=frozenset({"127.0.0.1"})),
            instruments=self.instruments,
            limiter=limiter,
        )
        self.parts_read = 0

    async def ask(
        self,
        path: str = "/echo",
        *parts: bytes,
        method: str = "POST",
        headers: Sequence[tuple[bytes, bytes]] = (HOST,),
        stalls: bool = False,
        goes_away: bool = False,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send a body in parts; it may stall or break off before the last one."""
        waiting = list(parts or (b"",))
        is_cut = stalls or goes_away
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                self.parts_read += 1
                part = waiting.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(waiting) or is_cut}
            if goes_away:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "client": ("10.0.0.1", 5)}
        await self.edge(scope, receive, send)
        start, body = sent
        return start["status"], dict(start["headers"]), body["body"]


def test_hands_the_whole_body_to_the_endpoint_and_counts_the_answer() -> None:
    served = Served()

    status, headers, body = asyncio.run(served.ask("/echo", b"ab", b"", b"cd"))

    assert (status, body) == (200, b"abcd")
    assert headers == {b"content-type": b"application/json", b"content-length": b"4"}
    assert served.instruments.requests.value("/echo", "200") == 1
    assert served.lane.inside == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/echo", 405, b"POST"),
        ("DELETE", "/probe", 405, b"GET, HEAD"),
        ("GET", "/unheard/of", 404, None),
        ("HEAD", "/probe", 200, None),
    ],
)
def test_answers_404_and_405_with_what_is_allowed(method: str, path: str, status: int, allow: bytes | None) -> None:
    served = Served()

    answered, headers, _ = asyncio.run(served.ask(path, method=method))

    assert answered == status
    assert headers.get(b"allow") == allow


def test_unknown_paths_are_counted_together() -> None:
    served = Served()
    for path in ("/a", "/b"):
        asyncio.run(served.ask(path))

    assert served.instruments.requests.value("other", "404") == 2


def test_says_nothing_of_a_bug_to_the_client_and_everything_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = asyncio.run(Served().ask("/fail"))

    assert status == 500
    assert b"secret" not in body
    assert "a secret" in caplog.text


def test_a_full_lane_refuses_before_the_body_is_read_and_probes_go_on() -> None:
    async def work() -> None:
        served = Served(least=1)
        served.lane.seconds = 1.0
        stuck = asyncio.create_task(served.ask("/never"))
        await asyncio.sleep(0)
        read = served.parts_read

        status, headers, _ = await served.ask("/echo", b"body")

        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert served.parts_read == read
        assert served.instruments.refused.value("recommend", "full") == 1
        assert (await served.ask("/probe", method="GET"))[0] == 200
        assert (await served.ask("/admin", b"{}"))[0] == 200  # an administrator is not kept out by the crowd
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        assert served.lane.inside == 0

    asyncio.run(work())


def test_bodies_that_never_end_hold_no_place_in_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "DEADLINE_SECONDS", 0.05)

    async def work() -> None:
        served = Served()
        stalled = [asyncio.create_task(served.ask("/echo", b"{", stalls=True)) for _ in range(20)]
        await asyncio.sleep(0.01)
        assert served.lane.inside == 0
        assert (await served.ask("/echo", b"x"))[0] == 200
        answers = await asyncio.gather(*stalled)
        assert {status for status, _, _ in answers} == {408}
        assert {headers[b"connection"] for _, headers, _ in answers} == {b"close"}

    asyncio.run(work())


def test_a_request_that_takes_too_long_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "DEADLINE_SECONDS", 0.05)
    served = Served()

    status, headers, _ = asyncio.run(served.ask("/never"))

    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert served.lane.inside == 0


def test_a_client_that_goes_away_costs_nothing() -> None:
    served = Served()

    status, _, _ = asyncio.run(served.ask("/echo", b"{", goes_away=True))

    assert status == 400
    assert served.lane.inside == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"host", b"evil.example")], 421),
        ([], 421),
        ([HOST, (b"host", b"evil.example")], 421),
        ([(b"host", b"evil.example"), HOST], 421),
        ([HOST, (b"origin", b"http://evil.example")], 403),
        ([HOST, (b"origin", b"null")], 403),
        ([HOST, (b"origin", b"http://127.0.0.1:8700")], 200),
        ([HOST, (b"content-length", b"%d" % (BODY_LIMIT + 1))], 413),
        ([HOST, (b"content-length", b"-1")], 413),
        ([HOST, (b"content-length", b"\xb2")], 413),
    ],
)
def test_headers_are_checked_before_the_body_is_read(headers: list[tuple[bytes, bytes]], status: int) -> None:
    served = Served()

    answered, _, _ = asyncio.run(served.ask("/echo", b"x", headers=headers))

    assert answered == status
    assert served.parts_read == (status == 200)


def test_a_body_that_grows_over_the_limit_is_refused_when_no_length_was_announced() -> None:
    part = b" " * (BODY_LIMIT // 2)

    status, _, _ = asyncio.run(Served().ask("/echo", part, part, b" ", b"never read"))

    assert status == 413


def test_a_client_over_its_rate_is_refused_and_probes_are_not_counted() -> None:
    with tempfile.TemporaryFile() as memory:
        memory.truncate(BYTES)
        served = Served(limiter=RateLimiter(1.0, memory=memory.fileno(), secret=b"s"))

        async def work() -> None:
            for _ in range(5):
                assert (await served.ask("/probe", method="GET"))[0] == 200
            assert (await served.ask("/echo", b"x"))[0] == 200
            status, headers, body = await served.ask("/echo", b"x")
            assert (status, headers[b"retry-after"]) == (429, b"1")
            assert "EVERFEED_GATEWAY_RATE_PER_SECOND" in msgspec.json.decode(body)["error"]["what_to_do"]

        asyncio.run(work())


@pytest.mark.parametrize(
    ("words", "is_raised"),
    [("unable to perform operation on <TCPTransport closed=True>; the handler is closed", False), ("a bug", True)],
)
def test_an_answer_that_cannot_be_sent_is_no_bug_when_the_server_hung_up(words: str, *, is_raised: bool) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        raise RuntimeError(words)

    scope = {"type": "http", "method": "GET", "path": "/probe", "headers": [HOST], "client": ("127.0.0.1", 1)}
    expected = pytest.raises(RuntimeError, match=words) if is_raised else nullcontext()
    with expected:
        asyncio.run(Served().edge(scope, receive, send))


def _fill(served: Served) -> None:
    for _ in range(8):
        served.lane.enter(0.0)
    served.lane.seconds = 1.0


def test_a_full_lane_is_refused_by_the_head_alone_and_counted() -> None:
    served = Served()
    assert served.edge.early_refusal(b"POST", b"/echo") is None

    _fill(served)
    refusal = served.edge.early_refusal(b"POST", b"/echo")

    assert refusal is not None
    assert refusal.status == 503
    assert served.instruments.requests.value("/echo", "503") == 1
    assert served.instruments.refused.value("recommend", "full") == 1


@pytest.mark.parametrize(
    ("method", "target"),
    [(b"GET", b"/echo"), (b"POST", b"/echo?x=1"), (b"POST", b"/admin"), (b"GET", b"/probe"), (b"POST", b"/unknown")],
)
def test_what_has_no_lane_or_must_be_looked_at_goes_the_whole_way(method: bytes, target: bytes) -> None:
    served = Served()
    _fill(served)

    assert served.edge.early_refusal(method, target) is None


def test_a_drain_is_announced_by_whole_answers() -> None:
    served = Served()
    _fill(served)
    served.edge.drain()

    assert served.edge.early_refusal(b"POST", b"/echo") is None
