"""One training of a model at a time, whatever asks for it: a deployment, a form, a search or the command line.

The limit of a deployment counts the runs of that deployment alone, so `daily` and `retrain` would train together and
take twice the memory. This one is of the model: a global concurrency limit of the Prefect server, made with the
deployments. Its place is a lease that is renewed, so that a process that dies frees it within a minute or two.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from flows.wiring import MODEL_NAME
from infra.settings import Settings

_LEASE_SECONDS = 60
"""The shortest that the server takes."""


def turn_of(settings: Settings) -> str:
    """Return the name of the limit, which tenants of one server do not share."""
    return settings.named(f"training:{MODEL_NAME}")


async def ensure_turn(client: PrefectClient, settings: Settings) -> None:
    """Make the limit if it is missing; a number that a person gave it stays.

    A place is a lease, which `Settings.environment` has the server keep in files: of leases in its memory, a restart
    would leave places that are taken for ever.
    """
    name = turn_of(settings)
    try:
        await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))


async def free_turn(client: PrefectClient, settings: Settings) -> None:
    """Free the places, as where schedules begin: a home that was restored has places of flows that are not there."""
    await client.update_global_concurrency_limit(turn_of(settings), GlobalConcurrencyLimitUpdate(active_slots=0))


@contextmanager
def training_turn(settings: Settings) -> Iterator[None]:
    """Wait until no other training of the model goes on, and hold the place; where nothing was deployed, go ahead."""
    holder = ConcurrencyLeaseHolder(type="flow_run", id=flow_run.id) if flow_run.id else None
    with concurrency(
        turn_of(settings), lease_duration=_LEASE_SECONDS, holder=holder, raise_on_lease_renewal_failure=False
    ):
        yield
