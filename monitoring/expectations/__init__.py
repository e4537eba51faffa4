"""The catalogue of expectation suites: one module a table of the data contract, found by its file name."""

from collections.abc import Callable
from typing import cast

from monitoring.suite import Suite, ValidationContext
from recmodels.registry import Registry

SUITES = Registry("monitoring.expectations", "suite", "expectation suite", is_replaceable=True)
"""The suites by table: a project's own stands in the place of the one that comes with Everfeed."""


def suite_of(name: str, context: ValidationContext) -> Suite:
    """Return the expectations of the table called `name` in a context.

    Raises:
        UnknownNameError: No module describes this table.
    """
    build = cast("Callable[[ValidationContext], Suite]", SUITES.get(name))
    return build(context)


__all__ = ["SUITES", "suite_of"]
