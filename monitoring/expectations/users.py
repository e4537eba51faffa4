"""What is expected of `users`: one row per user, with attributes for slices."""

from monitoring.row_rules import filled, not_after
from monitoring.suite import Suite, ValidationContext
from monitoring.table_rules import has_rows, labelled, unique
from recmodels.data.schema import SIGNED_UP_AT, USER_ID, USERS


def suite(context: ValidationContext) -> Suite:
    """Return the expectations of the whole table; further columns are attributes and welcome."""
    return Suite(
        schema=USERS,
        key=(USER_ID,),
        rows=(*filled(USER_ID), not_after(SIGNED_UP_AT, context.latest)),
        table=(has_rows(), unique(USER_ID), *labelled(context, USERS)),
        is_open=True,
    )
