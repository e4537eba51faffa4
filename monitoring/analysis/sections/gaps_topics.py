"""Which topics are watched to the end but rarely shown."""

from monitoring.analysis.result import Analysis
from monitoring.analysis.scope import Scope
from monitoring.analysis.sections._gaps import gaps


def analyse(scope: Scope) -> Analysis:
    """Compare how often each topic is finished with what its lengths and surfaces let expect, and how often shown."""
    return gaps(scope, by="topic", one="topic", many="topics")
