"""Drift: daily figures, each judged against its own history, by the checks that the folder `checks` holds."""

from recmodels.registry import Registry

CHECKS = Registry("monitoring.drift.checks", "check", "drift check")
"""The drift checks: one module of `monitoring.drift.checks` each."""

__all__ = ["CHECKS"]
