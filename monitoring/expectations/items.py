"""What is expected of `items`: one row per item of the catalogue."""

from monitoring.row_rules import at_least, filled, finite, one_of, present
from monitoring.suite import Suite, ValidationContext
from monitoring.table_rules import has_rows, labelled, unique
from recmodels.data.schema import DURATION_SECONDS, ITEM_ID, ITEMS, SAFETY, SAFETY_LEVELS


def suite(context: ValidationContext) -> Suite:
    """Return the expectations of the whole catalogue; an item may be published later than the last event."""
    return Suite(
        schema=ITEMS,
        key=(ITEM_ID,),
        rows=(
            *filled(ITEM_ID),
            present(SAFETY),
            one_of(SAFETY, SAFETY_LEVELS),
            finite(DURATION_SECONDS),
            at_least(DURATION_SECONDS, 0),
        ),
        table=(has_rows(), unique(ITEM_ID), *labelled(context, ITEMS)),
    )
