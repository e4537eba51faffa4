"""Bytes that a client might send and should not: drawn by hypothesis, from the nearly right to the absurd."""

import json
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_PATHS = ("/v1/recommend", "/v1/feedback", "/v1/explain", "/v1/admin/takedown", "/v1/admin/items")
_READS = ("/v1/status", "/healthz", "/readyz", "/metrics", "/openapi.json")
_BODY_LIMIT = 256 * 1024
_FIELDS = (
    "user", "k", "surface", "exclude", "history", "context", "query", "is_anonymous", "origin", "events", "event_id",
    "request_id", "item_id", "kind", "value", "timestamp", "item_ids", "reason", "is_blocked", "items",
)  # fmt: skip
_HOSTS = ("127.0.0.1", "localhost", "localhost:1", "[::1]", "evil.example", "", "127.0.0.1:x", "[", "a" * 300, "\u00e9")


@dataclass(frozen=True)
class Sent:
    """What goes over one connection.

    Attributes:
        pieces: Bytes, written one after the other.
        num_requests: How many requests they were meant to be.
        is_complete: The server has all that it was promised, so that it must answer or close.
    """

    pieces: tuple[bytes, ...]
    num_requests: int
    is_complete: bool

    @property
    def everything(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


_ODD_NUMBERS = st.sampled_from(
    ["1e400", "-1e400", "1" + "0" * 400, "-0", "0.1e-400", "NaN", "Infinity", "1e5", "9223372036854775808", "1.0", "01"]
)
_ODD_TEXTS = st.sampled_from(
    ['"\\ud800"', '"\\u0000"', '"\u202e"', '"' + "x" * 5000 + '"', '""', '"\\x"', '"\t"', '"2020-13-01T00:00:00Z"']
)
_VALUES = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
).map(json.dumps)
_ANY_VALUE = _VALUES | _ODD_NUMBERS | _ODD_TEXTS


@st.composite
def _nearly_right(draw: st.DrawFn) -> bytes:
    """An object with fields of the contract, some of them twice, and values of any kind."""
    names = draw(st.lists(st.sampled_from(_FIELDS), max_size=5))
    fields = [f'"{name}":{draw(_ANY_VALUE)}' for name in names]
    if draw(st.booleans()):
        fields.insert(0, '"user":"user-1"')
    return ("{" + ",".join(fields) + "}").encode("utf-8", "surrogatepass")


@st.composite
def _deep(draw: st.DrawFn) -> bytes:
    """Nesting as deep as the limit on bodies lets through."""
    depth = draw(st.sampled_from([10, 900, 1100, 50_000, 120_000]))
    opening, closing = draw(st.sampled_from([(b"[", b"]"), (b'{"user":', b"}"), (b'{"context":{"a":', b"}}")]))
    depth = min(depth, _BODY_LIMIT // len(opening + closing))
    return opening * depth + b"1" + (closing * depth if draw(st.booleans()) else b"")


@st.composite
def _encoded(draw: st.DrawFn) -> bytes:
    """Right JSON in an encoding that JSON over HTTP does not have, or cut, or with a mark in front."""
    text = '{"user":"us\u00e9r"}'
    body = text.encode(draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "utf-7"])))
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body


def bodies() -> SearchStrategy[bytes]:
    """Return bodies of every kind."""
    large = st.sampled_from(
        [b" " * (_BODY_LIMIT + 1), b'{"user":"' + b"a" * _BODY_LIMIT + b'"}', b'{"user":"a"}' + b" " * 9999]
    )
    return st.one_of(
        _nearly_right(), st.binary(max_size=300), _deep(), _encoded(), large, st.just(b'{"user":"user-1"}')
    )


def _mostly(usual: SearchStrategy[str], odd: SearchStrategy[str]) -> SearchStrategy[str]:
    """Draw something odd one time in twelve: several oddities at once seldom get past the first check."""
    return st.integers(0, 11).flatmap(lambda number: odd if number == 11 else usual)


_METHODS = _mostly(
    st.just("POST"),
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "post", "FOO", "P\u00d6ST"]),
)
_TARGETS = _mostly(
    st.sampled_from([*_PATHS, *_PATHS, *_READS]),
    st.sampled_from(
        ["/", "//v1/recommend", "/v1/recommend/", "/v1/../v1/status", "/v1/recommend?k=1&k=%00", "/%ff%fe",
         "/v1/%2e%2e/", "http://127.0.0.1/v1/status", "*", "/v1/recommend#x", "/" + "a" * 9000, "/\x01", "",
         "/v1/recommend ", "/%"]
    ),
)  # fmt: skip
_VERSIONS = _mostly(
    st.just("HTTP/1.1"), st.sampled_from(["HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP", "", "HTTP/1.1 x"])
)
_LINE_ENDS = _mostly(st.just("\r\n\r\n"), st.sampled_from(["\n\n", "\r\n"]))
_HOST_LINES = _mostly(
    st.just("Host: 127.0.0.1"), st.sampled_from(_HOSTS).map("Host: {}".format) | st.just("Not-Host: x")
)
_ODD_HEADERS = st.sampled_from(
    ["Content-Type: text/plain", "Content-Type: application/json; charset=utf-16", "Content-Type: ", "Accept: x/y",
     "Content-Encoding: gzip", "Content-Encoding: \u00e9", "Expect: 100-continue", "Expect: 200-maybe",
     "Connection: close", "Connection: upgrade\r\nUpgrade: h2c", "Upgrade: websocket", "Origin: null",
     "Origin: http://127.0.0.1", "Authorization: Bearer \xff", "Authorization: Bearer", "Authorization: Basic YTpi",
     "X-Forwarded-For: 203.0.113.9", "Forwarded: for=1;;;", "X: " + "y" * 20_000, "X" * 5000 + ": y", "No colon",
     ": no name", " folded: x", "Na me: x", "Nul: \x00", "Cookie: " + "a=b; " * 200, "Host: twice.example",
     "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 1_0",
     "Content-Length: \u0662", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity",
     "Transfer-Encoding: chunked\r\nContent-Length: 3", "Range: bytes=0-1", "Trailer: X"]
)  # fmt: skip


_WAITED_FOR = ("Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Connection: upgrade")


@st.composite
def _one(draw: st.DrawFn, *, is_last: bool) -> tuple[bytes, bool]:
    """One request, and whether the server has all that it was promised."""
    body = draw(bodies())
    method = draw(_METHODS)
    lines = [f"{method} {draw(_TARGETS)} {draw(_VERSIONS)}", draw(_HOST_LINES)]
    odd = draw(st.lists(_ODD_HEADERS, max_size=2)) if draw(st.integers(0, 2)) == 2 else []
    lines += odd
    framing = draw(st.sampled_from(["length"] * 8 + ["chunks", "chunks", "short", "long", "broken", "none"]))
    is_complete = framing in ("length", "chunks", "short", "none")
    if framing in ("long", "broken") and not is_last:
        framing, is_complete = "length", True  # what would follow is taken for the body
    head_lines, payload = _framed(framing, body, draw)
    head = "\r\n".join([*lines, *head_lines])
    ending = draw(_LINE_ENDS)
    is_waiting = ending == "\r\n" or method == "CONNECT" or any(header.startswith(_WAITED_FOR) for header in odd)
    return (head + ending).encode("utf-8", "surrogateescape") + payload, is_complete and not is_waiting


def _framed(framing: str, body: bytes, draw: st.DrawFn) -> tuple[list[str], bytes]:
    if framing == "length":
        return [f"Content-Length: {len(body)}"], body
    if framing == "short":
        return [f"Content-Length: {len(body) // 2}"], body
    if framing == "long":
        return [f"Content-Length: {len(body) + 10}"], body
    if framing == "none":
        return [], b""
    size = draw(st.integers(1, 97))
    chunks = b"".join(
        f"{len(part):x}{draw(st.sampled_from(['', ';ext=1', ' ']))}\r\n".encode() + part + b"\r\n"
        for part in (body[start : start + size] for start in range(0, min(len(body), 20 * size), size))
    )
    if framing == "chunks":
        return ["Transfer-Encoding: chunked"], chunks + b"0\r\n" + draw(st.sampled_from([b"\r\n", b"T: x\r\n\r\n"]))
    ends = draw(st.sampled_from([b"", b"zz\r\n", b"5\r\nab", b"-1\r\n\r\n", b"fffffffffffffffff\r\n", b"0\r\n"]))
    return ["Transfer-Encoding: chunked"], chunks + ends


@st.composite
def exchanges(draw: st.DrawFn) -> Sent:
    """One to three requests on a connection, in one piece or in several."""
    count = draw(st.sampled_from([1] * 6 + [2, 3]))
    drawn = [draw(_one(is_last=number == count - 1)) for number in range(count)]
    everything = b"".join(request for request, _ in drawn)
    cuts = sorted({0, *draw(st.lists(st.integers(0, len(everything)), max_size=2)), len(everything)})
    pieces = tuple(everything[start:end] for start, end in pairwise(cuts))
    return Sent(pieces, count, all(is_complete for _, is_complete in drawn))
