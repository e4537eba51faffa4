"""A webhook endpoint of one's own on loopback, for the demo: it keeps every alert that it is sent, once a key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

_LIMIT_BYTES = 1_000_000


class Receiver:
    """What arrived at the endpoint."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = path
        self._keys: set[str] = set()
        self._lock = Lock()

    @property
    def received(self) -> int:
        """Distinct alerts so far."""
        return len(self._keys)

    def keep(self, key: str, body: bytes) -> None:
        """Append an alert to the file unless its key was seen before."""
        with self._lock:
            if key in self._keys:
                return
            self._keys.add(key)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(json.loads(body)) + "\n")


@contextmanager
def receiving(path: Path) -> Iterator[Receiver]:
    """Listen on a free loopback port and append what arrives to a JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take one alert."""
            length = int(self.headers.get("Content-Length", 0))
            if not 0 < length <= _LIMIT_BYTES:
                self.send_error(413)
                return
            receiver.keep(self.headers.get("Idempotency-Key", ""), self.rfile.read(length))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the terminal quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/alerts", path)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()
