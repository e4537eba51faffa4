"""The stores: whether each can be read, and what it holds."""

from collections.abc import Callable

from flows.doctor.finding import Finding
from flows.wiring import Platform, connect
from infra.settings import Settings
from recmodels.errors import EverfeedError


def look(settings: Settings) -> list[Finding]:
    """Open every store; one that cannot be opened is a finding, not an error."""
    home = connect(settings)
    return [
        _store("database", lambda: home.database.schema_version() or "empty"),
        _store("lake", lambda: _lake_versions(home)),
        _store("rollouts", lambda: _serving(home)),
        _store("model registry", lambda: _registry(home)),
    ]


def _store(subject: str, read: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, is_ok=True, seen=read())
    except EverfeedError as error:
        return Finding(subject, is_ok=False, seen=type(error).__name__, advice=str(error))


def _lake_versions(home: Platform) -> str:
    versions = {name: home.lake.version(name) for name in ("interactions", "items", "users")}
    held = [f"{name} at version {version}" for name, version in versions.items() if version is not None]
    return ", ".join(held) or "empty"


def _serving(home: Platform) -> str:
    champion = home.rollouts.champion()
    return f"version {champion.version} serves" if champion else "nobody serves yet"


def _registry(home: Platform) -> str:
    champion = home.rollouts.champion()
    if champion is None:
        return "empty"
    alias = home.registry.aliases().get("champion")
    if alias != champion.version:
        raise EverfeedError(
            f"MLflow's alias champion is at version {alias}, the rollouts table says {champion.version}. "
            "Somebody moved it by hand; the next look writes it back."
        )
    return f"alias champion at version {alias}"
