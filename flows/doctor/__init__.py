"""What is wrong with this machine, the stores and the versions, each with what to do; some of it is repaired."""

from flows.doctor import flow_runs, leftovers, machine, mlflow_runs, processes, services, stores
from flows.doctor.finding import Finding, Repair
from infra.settings import Settings

__all__ = ["Finding", "Repair", "examine", "repairs"]


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; a store that cannot be opened is a finding, not an error."""
    found = [*machine.look(settings), *stores.look(settings), *services.look(settings)]
    return [*found, *(repair.finding() for repair in repairs(settings))]


def repairs(settings: Settings) -> list[Repair]:
    """Return what died and left something behind; nothing that belongs to a living process is among it."""
    checks = (processes.repairs, leftovers.repairs, mlflow_runs.repairs, flow_runs.repairs)
    return [repair for check in checks for repair in check(settings)]
