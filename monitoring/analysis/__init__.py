"""What people do, like and turn to, as the lake tells it: analyses to read, none of which decides anything."""

from recmodels.registry import Registry

ANALYSES = Registry("monitoring.analysis.sections", "analyse", "analysis")
"""The analyses: one module of `monitoring.analysis.sections` each, and one section of the report."""

__all__ = ["ANALYSES"]
