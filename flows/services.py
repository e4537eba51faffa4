"""Which services make up the stack of one machine, and how each is started."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flows import progress
from infra.database import open_database
from infra.logfiles import rotate
from infra.processes import is_up, read_record
from infra.settings import Settings
from infra.supervisor import SUPERVISOR_LOG, Service, Stack, module_command
from recmodels.errors import AlreadyRunningError, EverfeedError

_START_SECONDS = 180.0
_LOOK_SECONDS = 0.1


def stack_services(settings: Settings, *, with_schedules: bool = True) -> tuple[Service, ...]:
    """Return the services in the order in which they start.

    Args:
        settings: Where they listen, and where their state is.
        with_schedules: Include the processes that work by themselves: the one that runs scheduled flows, and the one
            that sends alerts.
    """
    services = (_prefect(settings), _mlflow(settings), _gateway(settings), _console(settings))
    return (*services, *background_services()) if with_schedules else services


def late_services(settings: Settings) -> tuple[Service, ...]:
    """Return what is started once the others answer, and nobody waits for: the UI of the drift reports."""
    return (_evidently(settings),) if settings.evidently else ()


@contextmanager
def stack_up(settings: Settings) -> Iterator[Stack]:
    """Hold the stack up, without the schedules, for the length of a `with` block.

    Raises:
        StoreError: The database is damaged, or of a newer version.
        AlreadyRunningError: A stack is up over this home already.
        PortTakenError: A port is in use.
        EverfeedError: A service did not start.
    """
    require_database(settings)
    stack = Stack(settings, stack_services(settings, with_schedules=False))
    try:
        with progress.stage("start services"):
            stack.start()
            stack.wait_ready(timeout_seconds=_START_SECONDS)
        yield stack
    finally:
        _send_run_logs()
        stack.stop()


@contextmanager
def prefect_up(settings: Settings) -> Iterator[Stack]:
    """Hold Prefect alone up for the length of a `with` block, for a flow that needs no other service.

    Raises:
        StoreError: The database is damaged, or of a newer version.
        AlreadyRunningError: A stack is up over this home already.
        PortTakenError: A port is in use.
        EverfeedError: Prefect did not start.
    """
    require_database(settings)
    prefect, *_ = stack_services(settings, with_schedules=False)
    stack = Stack(settings, (prefect,))
    try:
        stack.start()
        stack.wait_ready(timeout_seconds=_START_SECONDS)
        yield stack
    finally:
        _send_run_logs()
        stack.stop()


def require_database(settings: Settings) -> None:
    """Open the database once, so that what is wrong with it is said here rather than in the log of a service.

    Raises:
        StoreError: It is damaged, locked, or of a newer version.
    """
    open_database(settings.database).close()


def start_detached(settings: Settings) -> None:
    """Start `everfeed up` as a process of its own, and return once every service answers.

    Raises:
        AlreadyRunningError: A stack is up over this home already.
        EverfeedError: The stack did not start; the end of its log is in the message.
    """
    if is_up(settings):
        raise AlreadyRunningError(f"a stack is already up over {settings.root}. Stop it with `everfeed down` first.")
    settings.logs.mkdir(parents=True, exist_ok=True)
    log_path = settings.logs / SUPERVISOR_LOG
    rotate(log_path)
    with log_path.open("ab") as log:
        begins = log.tell()
        child = subprocess.Popen(
            (sys.executable, "-m", "flows.cli", "up", "--silent"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not (found := read_record(settings)).is_ready or found.supervisor != child.pid:
        if child.poll() is not None:
            with log_path.open("rb") as log:
                log.seek(begins)
                lines = log.read().decode(errors="replace").splitlines()[-4:]
            raise EverfeedError(f"the stack did not start; {log_path} ends with: " + " ".join(lines))
        time.sleep(_LOOK_SECONDS)


def background_services() -> tuple[Service, ...]:
    """Return the processes that nobody opens: the one that runs scheduled flows, and the one that sends alerts."""
    return (
        Service("schedules", module_command("flows.deployments"), after="prefect"),
        Service("sender", module_command("flows.sender")),
    )


def _send_run_logs() -> None:
    """Send what runs of this process logged to Prefect, while its server is there to take it."""
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()


def _prefect(settings: Settings) -> Service:
    arguments = ("--factory", "prefect.server.api.server:create_app", *_listen(settings.host, settings.prefect_port))
    return Service(
        "prefect",
        module_command("uvicorn", *arguments, "--log-level", "warning"),
        settings.prefect_url,
        settings.prefect_port,
        "/api/health",
    )


def _mlflow(settings: Settings) -> Service:
    """Its database comes through the environment: every user of the machine may see a command line."""
    own = (f"{settings.host}:*", "localhost:*")
    command = module_command(
        "infra.mlflow_server",
        "--artifacts-destination",
        settings.artifacts_place,
        *_listen(settings.host, settings.mlflow_port),
        "--allowed-hosts",
        ",".join(own),
        "--cors-allowed-origins",
        ",".join(f"http://{host}" for host in own),
    )
    return Service("mlflow", command, settings.mlflow_ui_url, settings.mlflow_port, "/health")


def _gateway(settings: Settings) -> Service:
    return Service(
        "gateway", module_command("infra.serving.main"), settings.gateway_url, settings.gateway_port, "/healthz"
    )


def _console(settings: Settings) -> Service:
    return Service(
        "console", module_command("flows.control_room"), settings.console_url, settings.console_port, "/healthz"
    )


def _evidently(settings: Settings) -> Service:
    folder = settings.drift_workspace
    folder.mkdir(parents=True, exist_ok=True)  # it watches the folder, and ends where there is none
    command = module_command("evidently.cli", "ui", "--workspace", str(folder))
    command += _listen(settings.host, settings.evidently_port)
    return Service("evidently", command, settings.evidently_url, settings.evidently_port, "/api/version")


def _listen(host: str, port: int) -> tuple[str, ...]:
    return ("--host", host, "--port", str(port))
