"""The leakage audit that a person asks for: of a source, or of the home's lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.ingest import read_source
from flows.leakage import audit_tables, division, read_tables
from flows.lifecycle import remembered
from flows.runs import RunRequest, chosen_recipes
from flows.validate import read_data_set, snapshot_of
from flows.wiring import Platform, connect
from infra.settings import Settings
from recmodels.data.interactions import deduplicate, normalise
from recmodels.data.schema import Tables
from recmodels.errors import DataError
from recmodels.evaluation.leakage import LeakageReport
from recmodels.recipe import Recipe, override


@dataclass(frozen=True)
class Audited:
    """The audit of one way to divide the data.

    Attributes:
        recipes: Names of the recipes that divide it so.
        recipe: One of them.
        report: What was found.
    """

    recipes: tuple[str, ...]
    recipe: Recipe
    report: LeakageReport


def audit_request(settings: Settings, request: RunRequest, *, accepted: Sequence[str] = ()) -> list[Audited]:
    """Audit a source, or the home's lake where none is named, once for every way in which recipes divide it.

    Args:
        settings: Where the home is.
        request: The source and the recipes; those of the last run where a lake is audited and none is named.
        accepted: Names of checks whose leak somebody answers for.

    Raises:
        EverfeedError: The request or the data is at fault, or an accepted name is that of no check.
    """
    if request.source:
        recipes, tables = chosen_recipes(request), _of_source(request)
    else:
        recipes, tables = _recipes_of_home(request), _of_lake(connect(settings))
    ways: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        ways.setdefault(division(recipe), []).append(recipe)
    found = [
        Audited(tuple(one.name for one in group), group[0], audit_tables(tables, group[0])) for group in ways.values()
    ]
    known = {finding.name for one in found for finding in one.report.findings}
    if unknown := [name for name in accepted if name not in known]:
        raise DataError(f"--accept {unknown[0]!r} is no check of this data. Checks: {', '.join(sorted(known))}.")
    return [Audited(one.recipes, one.recipe, one.report.accepting(accepted)) for one in found]


def document_of(found: Sequence[Audited]) -> dict[str, Any]:
    """Return audits as one JSON document."""
    return {
        "passed": not any(one.report.leaks for one in found),
        "audits": [
            {
                "recipes": list(one.recipes),
                "label": one.recipe.data.label,
                "split": one.recipe.split.model_dump(mode="json"),
                "remove_seen": one.recipe.evaluation.remove_seen,
                "words": one.report.words,
                "findings": [finding.model_dump(mode="json") for finding in one.report.findings],
            }
            for one in found
        ],
    }


def lines_of(found: Sequence[Audited]) -> list[str]:
    """Return what a person reads: the verdict on every way to divide the data, its leaks and its notes."""
    lines = []
    for one in found:
        lines.append(f"{', '.join(one.recipes)} (label {one.recipe.data.label}, split {one.recipe.split.kind}):")
        lines.append(f"   {one.report.words}")
        lines += [f"   {finding.severity}: {finding.words}" for finding in (*one.report.leaks, *one.report.notes)]
    return lines


def _recipes_of_home(request: RunRequest) -> list[Recipe]:
    if request.presets or request.recipes or request.label:
        return chosen_recipes(request)
    return [override(recipe, list(request.overrides)) for recipe in remembered.fn()]


def _of_source(request: RunRequest) -> Tables:
    tables = read_source(request.source, request.path, request.options)
    interactions = deduplicate(normalise(tables.interactions, source=tables.name)).table
    return Tables(tables.name, interactions, tables.items, tables.users, is_order_only=tables.is_order_only)


def _of_lake(home: Platform) -> Tables:
    held = read_data_set(home)
    return read_tables(home, snapshot_of(home, name=held.name, is_order_only=held.is_order_only))
