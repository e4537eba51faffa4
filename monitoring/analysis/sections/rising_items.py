"""Which items gain interest."""

from monitoring.analysis.result import Analysis
from monitoring.analysis.scope import Scope
from monitoring.analysis.sections._rising import rising


def analyse(scope: Scope) -> Analysis:
    """Compare every item's share of the interest in the newest window with that in the window before."""
    return rising(scope, by="item", one="item", many="items")
