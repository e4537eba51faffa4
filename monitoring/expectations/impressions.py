"""What is expected of `impressions`: one row per item that the gateway showed."""

from monitoring.row_rules import (
    EPOCH,
    above,
    at_least,
    filled,
    finite,
    known,
    not_after,
    not_before,
    number,
    present,
    within,
)
from monitoring.suite import Suite, ValidationContext
from monitoring.table_rules import fresh, has_rows, labelled, steady_volume, unique
from recmodels.data.schema import (
    ARM,
    IMPRESSIONS,
    IS_FALLBACK,
    ITEM_ID,
    LATENCY_SECONDS,
    MODEL_VERSION,
    ORIGIN,
    POSITION,
    PROPENSITY,
    REQUEST_ID,
    SCORE,
    SEGMENT_VERSION,
    SURFACE,
    TIMESTAMP,
    USER_KEY,
)


def suite(context: ValidationContext) -> Suite:
    """Return the expectations of one drained window or of the whole table."""
    return Suite(
        schema=IMPRESSIONS,
        key=(REQUEST_ID, POSITION),
        rows=(
            *filled(REQUEST_ID),
            *filled(USER_KEY),
            *filled(ITEM_ID),
            *filled(SURFACE),
            *filled(MODEL_VERSION),
            *filled(ARM),
            present(ORIGIN),
            present(IS_FALLBACK),
            present(TIMESTAMP),
            not_before(TIMESTAMP, EPOCH),
            not_after(TIMESTAMP, context.latest),
            present(POSITION),
            at_least(POSITION, 0),
            finite(SCORE),
            *number(PROPENSITY),
            above(PROPENSITY, 0),
            within(PROPENSITY, 0, 1),
            *number(LATENCY_SECONDS),
            at_least(LATENCY_SECONDS, 0),
            at_least(SEGMENT_VERSION, 1),
            *known(ITEM_ID, context.item_ids, table_name="items"),
        ),
        table=(
            has_rows(),
            unique(REQUEST_ID, POSITION),
            fresh(TIMESTAMP, context),
            steady_volume(TIMESTAMP, context, table_name="impressions"),
            *labelled(context, IMPRESSIONS),
        ),
    )
