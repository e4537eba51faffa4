"""Bad input for a running gateway: `python -m benchmarks.fuzz_gateway [--requests 20000]`.

Half of the requests are drawn by schemathesis from the gateway's own /openapi.json, right ones and wrong ones, and each
answer is checked against it; the other half are bytes that hypothesis draws (`fuzz_requests`) over raw sockets. An
answer of 500 or above is a failure, except 503 with Retry-After, by which the gateway says that it is busy.
"""

import argparse
import socket
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.fuzz_requests import Sent, exchanges

SEED = 20261203
_SENTINEL = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
"""Follows what is complete, so that the server closes the connection behind the last answer."""

_PATIENCE_SECONDS = 3.0
_INCOMPLETE_SECONDS = 0.02  # what is not complete is given so long to be answered, and is then broken off
_CONTRACT = [status_code_conformance, content_type_conformance, response_schema_conformance]


@dataclass
class Tally:
    """What came back.

    Attributes:
        statuses: Answers by status; 0 for a connection that was closed without one.
        failures: Requests, or commands that send them, whose answer was a failure.
        broken_promises: Answers that the OpenAPI document does not allow, with the command that gives them.
        num_sent: Requests.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    broken_promises: list[str] = field(default_factory=list)
    num_sent: int = 0

    def note(self, status: int, headers: str, sent: Callable[[], str]) -> None:
        """Count one answer."""
        self.statuses[status] += 1
        if status >= 500 and not (status == 503 and "retry-after" in headers.lower()):
            self.failures.append(f"{status}: {sent()}")


def by_schema(url: str, tally: Tally, *, count: int, token: str, random_seed: int = SEED) -> None:
    """Send what the OpenAPI document describes, and what it forbids.

    Args:
        url: Address of the gateway.
        tally: Counts.
        count: How many requests; divided among the operations, those without a body get few.
        token: Sent with every second request.
        random_seed: Of what is drawn.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    posts = [operation for operation in operations if operation.method == "post"]
    reads = [operation for operation in operations if operation.method != "post"]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    few = max(count // 200, 1)
    shares = [(operation, modes[0], few) for operation in reads]
    each = (count - few * len(reads)) // (len(modes) * len(posts))
    shares += [(operation, mode, each) for operation in posts for mode in modes]
    session = requests.Session()
    session.trust_env = False

    def send(case: schemathesis.Case[Any]) -> None:
        headers = {"Authorization": f"Bearer {token}"} if tally.num_sent % 2 else {}
        tally.num_sent += 1
        response = case.call(base_url=url, session=session, headers=headers)
        tally.note(response.status_code, str(response.headers), case.as_curl_command)
        try:
            case.validate_response(response, checks=_CONTRACT)
        except (Failure, FailureGroup) as broken:
            tally.broken_promises.append(f"{broken!r}: {case.as_curl_command()}")

    with session:
        for operation, mode, size in shares:
            strategy = operation.as_strategy(generation_mode=mode)
            until = tally.num_sent + size
            while tally.num_sent < until:  # a small space of requests is exhausted early
                left = until - tally.num_sent
                _draw(left, random_seed + tally.num_sent)(given(case=strategy)(lambda case: send(case)))()


def by_bytes(port: int, tally: Tally, *, count: int, random_seed: int = SEED) -> None:
    """Send bytes.

    Args:
        port: Of the gateway.
        tally: Counts.
        count: At least how many requests.
        random_seed: Of what is drawn.
    """
    until = tally.num_sent + count

    def send(sent: Sent) -> None:
        tally.num_sent += sent.num_requests
        answers = _exchange(port, sent)
        for status, headers in answers:
            tally.note(status, headers, lambda: repr(sent.everything[:2000]))
        if not answers:
            tally.statuses[0] += 1

    while tally.num_sent < until:
        left = until - tally.num_sent
        _draw(left, random_seed + tally.num_sent)(given(sent=exchanges())(lambda sent: send(sent)))()


def _draw(count: int, random_seed: int) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Return what runs a test of hypothesis so many times, from a seed, without its database and without shrinking."""
    limits = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(random_seed)(limits(test))


def _exchange(port: int, sent: Sent) -> list[tuple[int, str]]:
    """Send and return the status and the headers of each answer, without the sentinel's."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in sent.pieces:
                connection.sendall(piece)
            if sent.is_complete:
                connection.sendall(_SENTINEL)
            else:
                connection.settimeout(_INCOMPLETE_SECONDS)
            while data := connection.recv(65536):
                received += data
        except (ConnectionError, TimeoutError):
            pass  # it was closed on us, or waits for what it was promised
    return _answers(received)


def _answers(received: bytes) -> list[tuple[int, str]]:
    """Take a stream of answers apart; interim ones (1xx) are no answers."""
    found = []
    while received.startswith(b"HTTP/"):
        head, mark, rest = received.partition(b"\r\n\r\n")
        if not mark:
            break
        status, headers = int(head[9:12]), head.decode("latin-1").lower()
        start = headers.find("content-length:")
        length = int(headers[start + 15 :].split("\r\n", 1)[0]) if start >= 0 and status != 304 else 0
        received = rest if rest.startswith(b"HTTP/1.1") else rest[length:]  # an answer to HEAD has a length, no body
        if status >= 200:
            found.append((status, headers))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Fuzz a gateway that runs; 0 when nothing failed. `python -m benchmarks.serving fuzz` starts one of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8700", help="address of the gateway, on this machine")
    parser.add_argument("--token", default="", help="its write token; without one, what needs it is refused")
    parser.add_argument("--requests", type=int, default=20_000, help="how many, about (default 20000)")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    tally = Tally()
    port = int(options.url.rpartition(":")[2])
    by_schema(options.url, tally, count=options.requests // 2, token=options.token, random_seed=options.seed)
    by_bytes(port, tally, count=options.requests - tally.num_sent, random_seed=options.seed)
    print(f"{tally.num_sent} requests, seed {options.seed}; answers by status: {dict(sorted(tally.statuses.items()))}")
    for title, found in (("failed", tally.failures), ("answered against the contract", tally.broken_promises)):
        print(f"{len(found)} {title}", *found[:20], sep="\n  ")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
