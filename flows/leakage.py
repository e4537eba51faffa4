"""The leakage audit of what a run trains on: once for every way to divide a snapshot, and kept for the model card."""

import hashlib

from flows.references import Snapshot
from flows.wiring import Platform
from recmodels.data.schema import USERS, Tables
from recmodels.evaluation.leakage import LeakageReport, audit
from recmodels.recipe import Recipe


def audited(home: Platform, snapshot: Snapshot, recipe: Recipe) -> LeakageReport:
    """Return the audit of a recipe on a snapshot; recipes that divide it in the same way share one."""
    path = home.settings.reports / "leakage" / f"{_key(recipe, snapshot)}.json"
    if path.exists():
        return LeakageReport.model_validate_json(path.read_text())
    report = audit_tables(read_tables(home, snapshot), recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(report.model_dump_json(indent=1))
    partial.replace(path)
    return report


def audit_tables(tables: Tables, recipe: Recipe) -> LeakageReport:
    """Audit tables as a recipe divides them."""
    return audit(tables.interactions, tables.items, tables.users, recipe=recipe, is_order_only=tables.is_order_only)


def read_tables(home: Platform, snapshot: Snapshot) -> Tables:
    """Read the lake at the versions of a snapshot; a lake without users gives none."""
    lake, versions = home.lake, snapshot.versions
    has_users = "users" in versions
    return Tables(
        name=snapshot.name,
        interactions=lake.read("interactions", version=versions["interactions"], start=snapshot.start),
        items=lake.read("items", version=versions["items"]),
        users=lake.read("users", version=versions["users"]) if has_users else USERS.empty_table(),
        is_order_only=snapshot.is_order_only,
    )


def division(recipe: Recipe) -> str:
    """Return what of a recipe decides the audit, as text."""
    parts = (recipe.data.model_dump_json(), recipe.split.model_dump_json(), str(recipe.evaluation.remove_seen))
    return ":".join(parts)


def _key(recipe: Recipe, snapshot: Snapshot) -> str:
    text = f"{division(recipe)}:{snapshot.fingerprint}:{snapshot.versions.get('users')}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
