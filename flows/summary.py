"""What a run came to, as the one JSON document that `--json` prints and a person reads."""

from typing import Any

from rich.console import Console
from rich.table import Table

from flows.lifecycle import LifecycleOutcome
from flows.references import Candidate, Monitored, Release, Rolled
from flows.wiring import Platform

Document = dict[str, Any]


def summarise(home: Platform, outcome: LifecycleOutcome) -> Document:
    """Return the part of the summary that every lifecycle has."""
    snapshot = outcome.snapshot
    champion = home.rollouts.champion()
    return {
        "data": {
            "name": snapshot.name,
            "interactions": snapshot.interactions,
            "users": snapshot.users,
            "items": snapshot.items,
            "snapshot": snapshot.fingerprint,
            "versions": snapshot.versions,
            "quarantined": snapshot.quarantined,
        },
        "models": [_model(candidate) for candidate in outcome.candidates],
        "champion": champion and {"name": champion_name(home, outcome), "version": champion.version},
        "gate": gate(outcome.release),
        "canary": canary(outcome.rollout),
        "urls": urls(home),
    }


def gate(release: Release) -> Document:
    """Return what the gate said of the challenger."""
    challenger = release.challenger
    return {
        "challenger": challenger and challenger.recipe.name,
        "version": release.challenger_version,
        "refused_by": list(release.refused_by),
        "words": release.comparison or "no candidate is better on validation than the one that serves",
    }


def canary(rolled: Rolled | None) -> Document | None:
    """Return how the rollout ended; None when there was none."""
    if rolled is None:
        return None
    return {
        "verdict": rolled.state,
        "users_canary": rolled.users_canary,
        "users_control": rolled.users_control,
        "estimate": rolled.estimate,
        "lower": rolled.lower,
        "upper": rolled.upper,
        "rule": rolled.rule,
        "words": rolled.words,
        "looks": rolled.looks,
        "rollout": rolled.rollout_id,
    }


def drift(found: Monitored) -> Document:
    """Return what moved most."""
    return {
        "figure": found.figure,
        "size": found.size,
        "since": found.since,
        "words": found.words,
        "figures": found.figures,
        "action": found.action,
        "report": found.report,
    }


def champion_name(home: Platform, outcome: LifecycleOutcome) -> str:
    """Return the recipe name of who serves now."""
    champion = home.rollouts.champion()
    names = {candidate.digest: candidate.recipe.name for candidate in outcome.candidates}
    return names.get(champion.digest, outcome.release.champion_name) if champion else ""


def urls(home: Platform) -> Document:
    """Return the addresses that a person opens."""
    settings = home.settings
    return {
        "prefect": settings.prefect_url,
        "mlflow": settings.mlflow_ui_url,
        **({"evidently": settings.evidently_url} if settings.evidently else {}),
        "gateway": settings.gateway_url,
        "control_room": settings.console_url,
        "data_docs": f"{settings.console_url}/reports/data_docs/index.html",
    }


def print_summary(screen: Console, document: Document, *, stays_up: bool) -> None:
    """Show a summary to a person, with the addresses of what is still there."""
    table = Table("model", "recall@10", "ndcg@10", "bundle", title=document["data"]["name"])
    for model in document["models"]:
        name = f"[bold]{model['name']}[/]" if model["name"] == document["champion"]["name"] else model["name"]
        table.add_row(name, f"{model['recall_at_10']:.4f}", f"{model['ndcg_at_10']:.4f}", model["digest"][:12])
    screen.print(table)
    screen.print(
        f"champion: {document['champion']['name']}, version {document['champion']['version']}", highlight=False
    )
    for line in _lines(document):
        screen.print(line, highlight=False, markup=False)
    if stays_up:
        for name, url in document["urls"].items():
            screen.print(f"  {name.replace('_', ' '):13} {url}", highlight=False)
    else:
        screen.print("Nothing runs any more; `everfeed up` brings the pages back.", highlight=False)
    screen.print(f"total {document['seconds']['total']:.0f} s", highlight=False)


def _lines(document: Document) -> list[str]:
    lines = [f"{model['name']}: trained {model['origin']}" for model in document["models"] if model["origin"]]
    lines += [f"gate: {document['gate']['challenger'] or 'no challenger'}, {document['gate']['words']}"]
    if document["canary"]:
        lines.append(f"canary: {document['canary']['words']}")
    if bad := document.get("bad_model"):
        lines.append(f"bad model: refused by {', '.join(bad['refused_by'])}.")
        lines.append(f"  forced through, unseen: {bad['shadow_words']}")
        lines.append(f"  forced past that, too: {bad['words']}")
    lines.append(f"drift: {document['drift']['words']}")
    if alert := document.get("alert"):
        lines.append(f"alert: delivered to {alert['channel']}" if alert["delivered"] else "alert: none was due")
    return lines


def _model(candidate: Candidate) -> Document:
    return {
        "name": candidate.recipe.name,
        "recall_at_10": candidate.metrics["recall_at_10"],
        "ndcg_at_10": candidate.metrics["ndcg_at_10"],
        "validation_ndcg_at_10": candidate.validation["ndcg_at_10"],
        "run_id": candidate.run_id,
        "digest": candidate.digest,
        "origin": candidate.origin,
        "seconds": candidate.seconds,
    }
