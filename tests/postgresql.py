"""A PostgreSQL server of a test's own: on a free port, in a temporary folder, as a user that is not root."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

OWNER = "everfeed"
_ENGLISH = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")  # sorts a, B, c: unlike SQLite
PASSWORD = "p@ss:word/ of the owner"


@dataclass(frozen=True)
class Server:
    """A server, which listens on loopback and asks for a password."""

    programs: Path
    folder: Path
    port: int
    is_durable: bool = False

    def url(self, database: str = "postgres", *, user: str = OWNER, password: str = PASSWORD) -> str:
        """URL of a database on it."""
        url = make_url(f"postgresql://127.0.0.1:{self.port}/{database}").set(username=user, password=password)
        return url.render_as_string(hide_password=False)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=50"
        if not self.is_durable:
            options += " -c fsync=off -c autovacuum=off"  # the machine is not to lose its power in a test
        self._control("-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """End it: `fast` as an administrator does, `immediate` as a crash does."""
        self._control("-m", mode, "-w", "stop")

    def _control(self, *words: str) -> None:
        _run(str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), *words)


@contextmanager
def server(programs: Path, *, is_durable: bool = False) -> Iterator[Server]:
    """Make a server, start it, and take it away at the end; commits wait for the disk where it is durable."""
    with tempfile.TemporaryDirectory(prefix="everfeed-pg-", dir="/tmp") as name:  # a socket's path is short
        folder, user = Path(name), _user()
        password = folder / "password"
        password.write_text(PASSWORD)
        if user is not None:
            for path in (folder, password):
                shutil.chown(path, user)
        made = Server(programs, folder, _free_port(), is_durable)
        options = ("-A", "scram-sha-256", f"--pwfile={password}", "-U", OWNER, "-E", "UTF8", "-N", *_ENGLISH)
        _run(str(programs / "initdb"), "-D", str(folder / "data"), *options)
        made.start()
        try:
            yield made
        finally:
            made.stop("immediate")


def why_not() -> str:
    """Say why no server can be had here; empty where one can."""
    if find_programs() is None:
        return "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as"
    return ""


def find_programs() -> Path | None:
    """Return the folder of the newest server's programs."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")] or [Path(shutil.which("initdb") or "/nowhere/initdb")]
    newest = max(found, key=lambda path: [int(part) for part in path.parts if part.isdecimal()])
    return newest.parent if newest.exists() else None


def _user() -> str | None:
    """Return the user to run it as, where this one is root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _run(*command: str) -> None:
    user = _user()
    group = pwd.getpwnam(user).pw_gid if user else None
    options = {"user": user, "group": group, "extra_groups": []} if user else {}
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=120, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
