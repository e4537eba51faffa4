"""What is expected of `outcomes`: one row per feedback event on an item that was shown."""

from monitoring.row_rules import (
    EPOCH,
    at_least,
    filled,
    known,
    not_after,
    not_before,
    number,
    one_of,
    present,
)
from monitoring.suite import Suite, ValidationContext
from monitoring.table_rules import fresh, has_rows, labelled, steady_volume, unique
from recmodels.data.schema import (
    EVENT_ID,
    FEEDBACK_COLUMNS,
    ITEM_ID,
    KIND,
    OUTCOMES,
    REQUEST_ID,
    TIMESTAMP,
    VALUE,
    WATCH_SECONDS,
)


def suite(context: ValidationContext) -> Suite:
    """Return the expectations of one drained window or of the whole table."""
    return Suite(
        schema=OUTCOMES,
        key=(EVENT_ID,),
        rows=(
            *filled(EVENT_ID),
            *filled(REQUEST_ID),
            *filled(ITEM_ID),
            *filled(KIND),
            one_of(KIND, (*FEEDBACK_COLUMNS, WATCH_SECONDS)),
            *number(VALUE),
            at_least(VALUE, 0),
            present(TIMESTAMP),
            not_before(TIMESTAMP, EPOCH),
            not_after(TIMESTAMP, context.latest),
            *known(ITEM_ID, context.item_ids, table_name="items"),
            *known(REQUEST_ID, context.request_ids, table_name="impressions"),
        ),
        table=(
            has_rows(),
            unique(EVENT_ID),
            fresh(TIMESTAMP, context),
            steady_volume(TIMESTAMP, context, table_name="outcomes"),
            *labelled(context, OUTCOMES),
        ),
    )
