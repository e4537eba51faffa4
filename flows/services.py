"""Which services make up the stack of one machine, and how each is started."""

from infra.settings import Settings
from infra.supervisor import Service, module_command


def stack_services(settings: Settings, *, with_schedules: bool = True) -> tuple[Service, ...]:
    """Return the services in the order in which they start.

    Args:
        settings: Where they listen, and where their state is.
        with_schedules: Include the process that runs scheduled flows.
    """
    services = (_prefect(settings), _mlflow(settings), _gateway(settings), _console(settings))
    return (*services, schedules_service()) if with_schedules else services


def schedules_service() -> Service:
    """Return the process that runs scheduled flows."""
    return Service("schedules", module_command("flows.deployments"))


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
    own = (f"{settings.host}:*", "localhost:*")
    command = module_command(
        "mlflow",
        "server",
        "--backend-store-uri",
        settings.mlflow,
        "--artifacts-destination",
        settings.artifacts.as_uri(),
        *_listen(settings.host, settings.mlflow_port),
        "--workers",
        "1",
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
        "console", module_command("infra.console.main"), settings.console_url, settings.console_port, "/healthz"
    )


def _listen(host: str, port: int) -> tuple[str, ...]:
    return ("--host", host, "--port", str(port))
