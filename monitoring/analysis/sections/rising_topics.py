"""Which topics gain interest."""

from monitoring.analysis.result import Analysis
from monitoring.analysis.scope import Scope
from monitoring.analysis.sections._rising import rising


def analyse(scope: Scope) -> Analysis:
    """Compare every topic's share of the interest in the newest window with that in the window before."""
    return rising(scope, by="topic", one="topic", many="topics")
