"""`everfeed deploy`: the deployments, on any Prefect server, for a pool of workers."""

import asyncio
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from flows.commands.audited import audited_at_home
from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson


def deploy(
    pool: Annotated[str, typer.Option(help="Work pool whose workers run the flows; made if it is missing.")] = (
        "everfeed"
    ),
    kind: Annotated[str, typer.Option("--type", help="Kind of the pool: process, docker or kubernetes.")] = "process",
    image: Annotated[str, typer.Option(help="Image that holds Everfeed, for docker and kubernetes.")] = "",
    variable: Annotated[
        list[str], typer.Option(help="Job variable of the pool, such as mem_limit=4g. Repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    api_url: Annotated[
        str,
        typer.Option(envvar="PREFECT_API_URL", help="API of the Prefect server; of the settings if left out."),
    ] = "",
    automations: Annotated[
        bool, typer.Option("--automations", help="Write the example automations too: told, stuck, failing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the deployments to a Prefect server, for the workers of a pool; again and again changes nothing."""
    settings = read_settings()
    from flows import deploying
    from recmodels.errors import StoreError

    if kind not in list(deploying.PoolKind):
        raise StoreError(f"--type {kind!r} is not known. Known: {', '.join(deploying.PoolKind)}.")
    target = deploying.Target(
        pool=pool,
        kind=deploying.PoolKind(kind),
        image=image,
        api_url=api_url or settings.environment()["PREFECT_API_URL"],
        variables=deploying.read_variables(variable),
    )
    record = nullcontext() if dry_run else audited_at_home(settings, "deploy", f"pool {pool}")
    with record:
        found = asyncio.run(deploying.deploy(settings, target, has_automations=automations, is_dry=dry_run))
    if not as_json:
        made = " (made)" if found.was_pool_made and not dry_run else ""
        verb = "would be written" if dry_run else "written"
        screen.print(f"{verb} to {found.api_url}, pool {found.pool}{made} of type {found.kind}:", highlight=False)
        for name in (*found.deployments, *found.automations):
            screen.print(f"  {name}", highlight=False)
        screen.print(f"A worker: {deploying.worker_command(target)}", highlight=False, soft_wrap=True)
    answer(asdict(found), as_json=as_json)
