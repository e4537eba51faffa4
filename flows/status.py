"""What runs and who serves, as one document, and as a page on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from flows.wiring import connect
from infra.processes import is_up, statuses
from infra.settings import Settings


def describe(settings: Settings) -> dict[str, Any]:
    """Return the services, who serves, and the active rollout of a home."""
    home = connect(settings)
    serving = home.rollouts.serving()
    active = home.rollouts.active()
    champion = home.rollouts.champion()
    retrain = next(iter(home.retrains.all()), None)
    return {
        "home": str(settings.root),
        "is_up": is_up(settings),
        "services": [
            {
                "name": service.name,
                "url": service.url,
                "is_running": service.is_running,
                "is_ready": service.is_ready,
                "memory_mb": service.memory_mb,
                "started_at": service.started_at,
                "workers": service.workers,
            }
            for service in statuses(settings)
        ],
        "champion": champion and {"version": champion.version, "digest": champion.digest, "since": champion.since},
        "rollout": active
        and {
            "id": active.rollout_id,
            "state": active.state,
            "share": serving.share,
            "version": active.challenger.version,
        },
        "retrain": retrain
        and {
            "id": retrain.retrain_id,
            "requested_at": retrain.requested_at,
            "state": retrain.state,
            "version": retrain.version,
        },
    }


def print_status(screen: Console, document: dict[str, Any]) -> None:
    """Show the document to a person."""
    table = Table("service", "state", "workers", "memory", "address", title=document["home"])
    for service in document["services"]:
        state = "ready" if service["is_ready"] else "starting" if service["is_running"] else "stopped"
        workers = str(len(service["workers"]) or "")
        table.add_row(service["name"], state, workers, f"{service['memory_mb']:.0f} MB", service["url"])
    if document["services"]:
        screen.print(table)
    else:
        screen.print(f"Nothing runs over {document['home']}. Start with `everfeed demo`, or `everfeed up`.")
    champion, rollout = document["champion"], document["rollout"]
    screen.print(
        f"champion: version {champion['version']} since {champion['since']:%Y-%m-%d %H:%M} UTC"
        if champion
        else "no champion yet"
    )
    if rollout:
        screen.print(f"rollout {rollout['id']}: {rollout['state']} at {rollout['share']:.0%}")
    if retrain := document["retrain"]:
        screen.print(f"last retrain {retrain['id']}: {retrain['state']}; see `everfeed retrains list`")
