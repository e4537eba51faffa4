"""Tenants: what a name may be, the namespaces that follow from it, and what a tenant may use at most."""

import hashlib
import hmac
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from infra.locks import at_once
from recmodels.errors import AlreadyRunningError, EverfeedError

FOLDER: Final = "tenants"
"""Folder of a home whose folders are the homes of its tenants."""

SCHEMA_OPTION: Final = "schema"
"""Option in the URL of a PostgreSQL database that says in which schema the tables are."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST: Final = 32


class QuotaExceededError(EverfeedError):
    """Something that would take a tenant over what it may use."""


class Quotas(BaseModel):
    """What a tenant may use at most; 0 means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_second: float = Field(0.0, ge=0.0)
    """Requests a second that its gateway answers, over all workers of one machine."""
    lake_megabytes: float = Field(0.0, ge=0.0)
    """Size of its lake, in millions of bytes, from which on nothing new is ingested."""
    trainings: int = Field(0, ge=0)
    """Models that are trained at once, on one machine."""
    versions: int = Field(0, ge=0)
    """Model versions in the registry."""


def check_name(name: str) -> str:
    """Return the name of a tenant.

    Raises:
        ValueError: It cannot be one, or could be mistaken for another.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ValueError(
            f"{name!r} is no name of a tenant. Expected up to {_LONGEST} lower-case letters of ASCII, digits and single"
            " dashes, beginning with a letter, such as shop-eu; unset EVERFEED_TENANT for a home without tenants"
        )
    return name


def schema_of(tenant: str) -> str:
    """Return the PostgreSQL schema of a tenant; no two tenants have the same, since names hold no underscores."""
    return f"tenant_{tenant.replace('-', '_')}"


def check_home(home: Path, tenant: str | None) -> None:
    """Refuse to mix a home of tenants with a home of one's own.

    Raises:
        ValueError: The home holds tenants and none is named, or it holds state that is no tenant's.
    """
    folder = home / FOLDER
    if tenant is None and folder.is_dir():
        names = ", ".join(sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))) or "none yet"
        raise ValueError(
            f"the home {home} is shared by tenants ({names}), and none is named. Set EVERFEED_TENANT, or EVERFEED_HOME"
            " to another home"
        )
    if tenant is not None and any((home / name).exists() for name in ("everfeed.db", "secrets", "bundles")):
        raise ValueError(
            f"the home {home} has no tenants: it holds a home's own state. Set EVERFEED_HOME to another folder for"
            f" tenant {tenant!r}, or unset EVERFEED_TENANT"
        )


def check_prefect(url: str, tenant: str) -> None:
    """Refuse a database of Prefect's that tenants would share: one's worker would run the other's flows.

    Raises:
        ValueError: The database is not named after the tenant.
    """
    expected = f"prefect_{tenant.replace('-', '_')}"
    if urlsplit(url).path.rpartition("/")[2] != expected:
        raise ValueError(
            f"tenants cannot share a database of Prefect's. Expected EVERFEED_PREFECT_DATABASE_URL to name the database"
            f" {expected!r} for tenant {tenant!r}: `createdb {expected}`, or unset it"
        )


def derived(secret: str, *, tenant: str | None, purpose: str) -> str:
    """Return a tenant's own secret where the environment has one for all: knowing it tells nothing of another's.

    Source: RFC 5869, the expand step with one block.
    """
    if tenant is None:
        return secret
    block = hmac.digest(secret.encode(), f"everfeed tenant {tenant} {purpose}\x01".encode(), hashlib.sha256)
    return urlsafe_b64encode(block).decode().rstrip("=")


def check_lake(folder: Path, quotas: Quotas) -> None:
    """Refuse more data for a lake that is full.

    Raises:
        QuotaExceededError: The files of the lake take more than the quota.
    """
    if not quotas.lake_megabytes:
        return
    size = sum(_size(Path(top) / name) for top, _, names in os.walk(folder) for name in names) / 1e6
    if size >= quotas.lake_megabytes:
        raise QuotaExceededError(
            f"the lake {folder} takes {size:,.1f} MB, and the quota is {quotas.lake_megabytes:,g} MB: nothing was"
            " ingested. Free space with `everfeed gc`, or have lake_megabytes in EVERFEED_QUOTAS raised."
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # cleaned up meanwhile


def check_versions(count: int, quotas: Quotas) -> None:
    """Refuse one model version more.

    Raises:
        QuotaExceededError: The registry holds as many as the quota lets it.
    """
    if quotas.versions and count >= quotas.versions:
        raise QuotaExceededError(
            f"the registry holds {count} model versions, and the quota is {quotas.versions}: the new one was not"
            " registered. Delete versions that never serve in MLflow, or have versions in EVERFEED_QUOTAS raised."
        )


@contextmanager
def training_slot(folder: Path, quotas: Quotas) -> Iterator[None]:
    """Hold one of the places for trainings; the system frees it when the process dies.

    Args:
        folder: Where the locks are.
        quotas: How many places there are.

    Raises:
        QuotaExceededError: All of them are taken.
    """
    with ExitStack() as held:
        for number in range(quotas.trainings):
            try:
                held.enter_context(at_once(folder / f"training-{number}.lock", otherwise="taken"))
            except AlreadyRunningError:
                continue
            break
        else:
            if quotas.trainings:
                raise QuotaExceededError(
                    f"{quotas.trainings} trainings run already, which is the quota. Run it again when one of them is"
                    " done, or have trainings in EVERFEED_QUOTAS raised."
                )
        yield
