"""Processes that outlived the stack that started them, and the record of a stack that is gone."""

from collections.abc import Iterator

from flows.doctor.finding import Repair
from infra.processes import is_up, marked_as, record_file, stop_leftovers, supervised
from infra.settings import Settings


def repairs(settings: Settings) -> Iterator[Repair]:
    """Find both; nothing of a stack that is up is touched."""
    if is_up(settings):
        return
    record = record_file(settings)
    for process in supervised(settings.root):
        yield Repair(
            f"process {process.pid}",
            f"it belongs to the service {marked_as(process)}, and no stack is up over this home",
            "stops it",
            lambda: _stop(settings),
        )
    if record.exists():
        yield Repair(
            "record of services", f"{record} was left by a stack that is gone", "removes it", lambda: _stop(settings)
        )


def _stop(settings: Settings) -> bool:
    if is_up(settings):
        return False
    stop_leftovers(settings)
    return True
