"""What is expected of this project's interactions: all that Everfeed expects, and a rule of one's own.

A row that breaks a row rule is quarantined; a table that breaks a table rule stops the lifecycle. The file is named for
its table: interactions, items, users, impressions or feedback.
"""

from dataclasses import replace
from datetime import UTC, datetime

from monitoring.expectations.interactions import suite as standard
from monitoring.row_rules import not_before
from monitoring.suite import Suite, ValidationContext
from recmodels.data.schema import TIMESTAMP

_FIRST = datetime(1995, 1, 1, tzinfo=UTC)
"""Nothing of this project happened before; set it to your launch."""


def suite(context: ValidationContext) -> Suite:
    """Return the standard suite with one more rule."""
    base = standard(context)
    return replace(base, rows=(*base.rows, not_before(TIMESTAMP, _FIRST)))
