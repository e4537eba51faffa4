"""`everfeed deploy`: every deployment written to a Prefect server, for the workers of a pool.

The same again changes nothing, and what a person paused stays paused.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import write_automations
from flows.deployments import SCHEDULES, described
from flows.turns import ensure_turn
from infra.processes import statuses
from infra.settings import Settings
from recmodels.errors import StoreError

HOME_OF_IMAGE: Final = "/var/lib/everfeed"
"""Where the home is in a container."""

_PLAIN: Final = ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "GX_ANALYTICS_ENABLED", "MPLBACKEND", "OMP_NUM_THREADS")
"""Variables of every process of the platform that hold no secret; everybody who sees the server sees these."""


class PoolKind(StrEnum):
    """What starts a run."""

    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True)
class Target:
    """Where deployments are written.

    Attributes:
        pool: Name of the work pool.
        kind: What kind it is, where it is made.
        image: Image that holds Everfeed, for containers.
        api_url: API of the Prefect server.
        variables: Job variables of one's own, which win.
    """

    pool: str
    kind: PoolKind
    image: str
    api_url: str
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployed:
    """What was written, or would be."""

    api_url: str
    pool: str
    kind: str
    was_pool_made: bool
    deployments: tuple[str, ...]
    job_variables: Mapping[str, Any]
    automations: tuple[str, ...]
    is_dry: bool


async def deploy(settings: Settings, target: Target, *, has_automations: bool, is_dry: bool) -> Deployed:
    """Write the deployments, making the pool where it is missing.

    Args:
        settings: Of the home that the runs work over.
        target: Where to.
        has_automations: Write the example automations too.
        is_dry: Only say what would be written; the server is read.

    Raises:
        StoreError: The server does not answer, its pool is of another kind, an image is missing, or `everfeed up`
            serves the same deployments there.
    """
    _require_target(settings, target)
    variables = job_variables(settings, target)
    names = tuple(f"{one.flow.name}/{one.name}" for one in SCHEDULES)
    try:
        with temporary_settings({PREFECT_API_URL: target.api_url}):
            async with get_client() as client:
                is_new = await _ensure_pool(client, target, is_dry=is_dry)
            written: tuple[str, ...] = ()
            if not is_dry:
                async with get_client() as client:
                    await ensure_turn(client, settings)
                for one in SCHEDULES:
                    deployment = await described(
                        one, zone=settings.time_zone, pool=target.pool, job_variables=variables, is_installed=True
                    )
                    await deployment.aapply()
            if has_automations:
                written = await write_automations(settings, is_dry=is_dry)
    except httpx.HTTPError as error:
        raise StoreError(
            f"Prefect at {target.api_url} did not do what was asked: {error}. Check the address (--api-url, "
            "PREFECT_API_URL or EVERFEED_PREFECT_API_URL), and that its server is up."
        ) from error
    return Deployed(target.api_url, target.pool, target.kind, is_new, names, variables, written, is_dry)


def job_variables(settings: Settings, target: Target) -> dict[str, Any]:
    """Return what a pool starts a run with; no secret, since whoever sees the server sees them."""
    plain = {name: value for name, value in settings.environment().items() if name in _PLAIN}
    plain |= {"PREFECT_RESULTS_DEFAULT_SERIALIZER": "json", "EVERFEED_TIME_ZONE": settings.time_zone}
    if target.kind == PoolKind.PROCESS:
        place = {"EVERFEED_HOME": str(settings.root)}
        place |= {"EVERFEED_CONFIG": str(settings.config)} if settings.config else {}
        found: dict[str, Any] = {"env": plain | place, "working_dir": str(settings.root)}
    else:
        place = {"EVERFEED_HOME": HOME_OF_IMAGE, "PREFECT_API_URL": target.api_url}
        found = {"env": plain | place, "image": target.image}
        if target.kind == PoolKind.DOCKER:
            found |= {"volumes": [f"everfeed:{HOME_OF_IMAGE}"], "auto_remove": True}
    given = dict(target.variables)
    environment = found["env"] | given.pop("env", {})
    return found | given | {"env": environment}


def _require_target(settings: Settings, target: Target) -> None:
    if target.kind != PoolKind.PROCESS and not target.image:
        raise StoreError(f"a {target.kind} pool starts containers: name the image that holds Everfeed with --image.")
    is_own = target.api_url.startswith(settings.prefect_url)
    if is_own and any(one.name == "schedules" and one.is_running for one in statuses(settings)):
        raise StoreError(
            f"`everfeed up` serves these deployments on {settings.prefect_url} by itself; a pool would run each of "
            "them a second time. Name another server with --api-url, or stop the stack with `everfeed down`."
        )


async def _ensure_pool(client: PrefectClient, target: Target, *, is_dry: bool) -> bool:
    """Make the pool if it is missing; return whether it was."""
    try:
        known: WorkPool = await client.read_work_pool(target.pool)
    except ObjectNotFound:
        if not is_dry:
            template = await _template(client, target.kind)
            wanted = WorkPoolCreate(
                name=target.pool, type=target.kind, description="Everfeed's flows", base_job_template=template
            )
            await client.create_work_pool(wanted)
        return True
    if known.type != target.kind:
        raise StoreError(
            f"work pool {target.pool!r} is there and is of type {known.type!r}, not {target.kind!r}. Name its type with"
            " --type, or another pool with --pool."
        )
    return False


async def _template(client: PrefectClient, kind: PoolKind) -> dict[str, Any]:
    """Return what a new pool of a kind starts runs with, as the server's own collection has it."""
    for workers in (await client.read_worker_metadata()).values():
        for name, worker in workers.items():
            if name == kind:
                template: dict[str, Any] = worker["default_base_job_configuration"]
                return template
    raise StoreError(
        f"the server knows no pool of type {kind!r}. Make it there with `prefect work-pool create --type {kind}`, then "
        "deploy again."
    )


def read_variables(given: list[str]) -> dict[str, Any]:
    """Read job variables of the form ``name=value``; a value that is JSON is read as such.

    Raises:
        StoreError: One has no equals sign.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign:
            raise StoreError(f"--variable {one!r} is not of the form name=value, such as mem_limit=4g.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def worker_command(target: Target) -> str:
    """Return the command that starts a worker of the pool."""
    prefect = "prefect" if shutil.which("prefect") else "python -m prefect"
    return f"PREFECT_API_URL={target.api_url} {prefect} worker start --pool {target.pool} --type {target.kind}"
