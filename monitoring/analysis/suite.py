"""All analyses of the catalogue over one span of the lake, and the report of them."""

from collections.abc import Callable, Mapping
from typing import cast

from monitoring.analysis import ANALYSES
from monitoring.analysis.result import Analysis
from monitoring.analysis.scope import Scope


def analyse_all(scope: Scope) -> Mapping[str, Analysis]:
    """Run every analysis, in alphabetical order of their names.

    An analysis for which the data lack something, or have too few people, says so in words.
    """
    found: dict[str, Analysis] = {}
    for name in ANALYSES.names():
        analyse = cast("Callable[[Scope], Analysis]", ANALYSES.get(name))
        found[name] = analyse(scope)
    return found
