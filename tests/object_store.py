"""An S3-compatible server of a test's own: moto's, as a process on a free port, which makes buckets when asked."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from pyarrow.fs import FileSelector, FileType

from infra.object_store import ObjectStore

REGION = "us-east-1"
ACCESS_KEY = "EXAMPLEKEYOFATEST"
SECRET_KEY = "a-secret-that-stands-in-no-message"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class S3Server:
    """A server, which listens on loopback and takes any key until it is told to look."""

    url: str

    @property
    def store(self) -> ObjectStore:
        """How Everfeed reaches it."""
        return ObjectStore(self.url, REGION, ACCESS_KEY, SECRET_KEY)

    @property
    def settings(self) -> dict[str, str]:
        """The settings that name it."""
        return {
            "s3_endpoint": self.url,
            "s3_region": REGION,
            "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SECRET_KEY,
        }

    def make(self, bucket: str) -> None:
        httpx.put(f"{self.url}/{bucket}", trust_env=False).raise_for_status()

    def look_at_keys(self, *, after: int) -> None:
        """Ask for known keys once it has answered so many requests more."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=str(after), trust_env=False).raise_for_status()

    def objects(self, place: str) -> dict[str, bytes]:
        """Return the content of every object below a place, by its name from there on."""
        bare = place.removeprefix("s3://")
        system = self.store.filesystem()
        found = system.get_file_info(FileSelector(bare, recursive=True, allow_not_found=True))
        files = [info.path for info in found if info.type == FileType.File]
        return {path.removeprefix(f"{bare}/"): system.open_input_stream(path).read() for path in files}

    def put(self, uri: str, content: bytes) -> None:
        with self.store.filesystem().open_output_stream(uri.removeprefix("s3://")) as stream:
            stream.write(content)


@contextmanager
def server() -> Iterator[S3Server]:
    """Start a server, and take it away at the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, "MOTO_PORT": str(port)}, **quiet)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            assert process.poll() is None, "moto's server ended"
            assert time.monotonic() < deadline, "moto's server did not start"
            time.sleep(0.05)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
