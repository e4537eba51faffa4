"""The services that were started over the home, and whether each answers."""

from flows.doctor.finding import Finding
from infra.processes import statuses
from infra.settings import Settings
from recmodels.errors import EverfeedError


def look(settings: Settings) -> list[Finding]:
    """Ask every service."""
    try:
        known = statuses(settings)
    except EverfeedError as error:
        return [Finding("services", is_ok=False, seen=type(error).__name__, advice=str(error))]
    return [
        Finding(
            f"service {service.name}",
            service.is_ready,
            f"process {service.pid}, {service.memory_mb:.0f} MB" if service.is_running else "stopped",
            ""
            if service.is_ready
            else f"Read {settings.logs / service.name}.log, then `everfeed down` and `everfeed up`.",
        )
        for service in known
    ]
