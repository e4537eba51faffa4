"""Removes what goes, after another look at who needs it; a folder is renamed away first, so that none is half there."""

import secrets
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.backups.survey import GC_LOCK
from infra.garbage.finding import Finding
from infra.lake import Lake
from infra.locks import at_once
from infra.object_store import is_url
from infra.settings import Settings
from recmodels.errors import StoreError

_TABLE_FILE: Final = "table file"


@dataclass(frozen=True)
class Removed:
    """What was removed.

    Attributes:
        findings: Each thing, as it was found just before.
        spared: Paths that had been found to go, and were needed or written by then.
    """

    findings: tuple[Finding, ...]
    spared: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes that were freed."""
        return sum(finding.size for finding in self.findings)


def remove(settings: Settings, agreed: Iterable[Finding], look: Callable[[], list[Finding]]) -> Removed:
    """Remove what a person agreed to, as far as it still goes when looked at again.

    Args:
        settings: Which home.
        agreed: What was shown.
        look: Looks through the home again, with needs that are read again.

    Raises:
        AlreadyRunningError: A backup is being made, which copies what is there.
        StoreError: Something cannot be removed; what was removed before it is gone.
    """
    wanted = {finding.path for finding in agreed if finding.goes}
    busy = f"a backup of {settings.root} is being made, or another `everfeed gc` runs. Run it again when that is done."
    with at_once(settings.root / GC_LOCK, otherwise=busy), ExitStack() as held:
        lake = Lake(settings.lake_place)
        if any(finding.kind == _TABLE_FILE and finding.path in wanted for finding in look()):
            held.enter_context(lake.alone())  # waits for readers, who may hold an older version
        going = [finding for finding in look() if finding.goes and finding.path in wanted]
        for finding in going:
            if is_url(finding.path):
                lake.delete_file(finding.path)
            else:
                _remove(settings.root / finding.path)
    return Removed(tuple(going), tuple(sorted(wanted - {finding.path for finding in going})))


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            leaving = path.with_name(f".writing-gc-{secrets.token_hex(4)}")
            path.rename(leaving)
            shutil.rmtree(leaving)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be removed ({error.strerror}). Fix its permissions, then run `everfeed gc` again."
        ) from error
