"""`python -m infra.serving.main`: binds the gateway's address, then becomes the parent of its workers.

The process that reads the settings and explains a taken port replaces itself by one that knows only how to keep workers
alive (12 MB instead of 40), under the same process id.
"""

import logging
import os
import socket
import sys
from typing import NoReturn

from infra.settings import Settings
from recmodels.errors import PortTakenError

_BACKLOG = 2048
"""Connections that wait while no worker takes them, such as during a restart; Linux caps it at somaxconn."""


def main() -> NoReturn:
    """Serve until SIGTERM or SIGINT; SIGHUP replaces the workers one after the other.

    The exit code is 0 after a drain, 1 where the port is taken, 2 where the store cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings()
    try:
        listener = listen(settings.host, settings.gateway_port)
    except PortTakenError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    memory = os.memfd_create("everfeed-figures")  # a file on a disk that is full kills who touches a new page of it
    _become_parent(settings.gateway_workers, [listener.fileno(), memory])


def _become_parent(workers: int, shared: list[int]) -> NoReturn:
    for descriptor in shared:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keywords
    arguments = (str(workers), *map(str, shared))
    os.execv(sys.executable, (sys.executable, "-m", "infra.serving.parent", *arguments))  # noqa: S606 - no shell


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; connections queue from now on.

    Raises:
        PortTakenError: It cannot be bound, usually since another process listens there.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not to wait for the connections of a former run
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        from infra.processes import port_taken  # looks into other processes: only where there is something to explain

        listener.close()
        raise port_taken("gateway", host=host, port=port, error=error) from error
    return listener


if __name__ == "__main__":
    main()
