"""What is expected of `interactions`: one row per exposure or consumption."""

from monitoring.row_rules import (
    EPOCH,
    at_least,
    at_most_times,
    filled,
    finite,
    known,
    not_after,
    not_before,
    not_equal,
    present,
    within,
)
from monitoring.suite import Suite, ValidationContext
from monitoring.table_rules import fresh, has_rows, labelled, steady_volume, unique
from recmodels.data.schema import (
    DURATION_SECONDS,
    EVENT_ID,
    INTERACTIONS,
    ITEM_ID,
    ORIGIN,
    ORIGIN_REPLAY,
    RATING,
    SURFACE,
    TIMESTAMP,
    USER_ID,
    WATCH_SECONDS,
)


def suite(context: ValidationContext) -> Suite:
    """Return the expectations of one ingested window or of the whole table."""
    rating_limits = (within(RATING, *context.rating_range),) if context.rating_range else ()
    return Suite(
        schema=INTERACTIONS,
        key=(EVENT_ID,),
        rows=(
            *filled(EVENT_ID),
            *filled(USER_ID),
            *filled(ITEM_ID),
            *filled(SURFACE),
            present(TIMESTAMP),
            not_before(TIMESTAMP, EPOCH),
            not_after(TIMESTAMP, context.latest),
            present(ORIGIN),
            not_equal(ORIGIN, ORIGIN_REPLAY, because="replayed visitors are never trained on"),
            finite(WATCH_SECONDS),
            at_least(WATCH_SECONDS, 0),
            finite(DURATION_SECONDS),
            at_least(DURATION_SECONDS, 0),
            at_most_times(WATCH_SECONDS, context.config.watch_ratio_maximum, of=DURATION_SECONDS),
            finite(RATING),
            *rating_limits,
            *known(ITEM_ID, context.item_ids, table_name="items"),
            *known(USER_ID, context.user_ids, table_name="users"),
        ),
        table=(
            has_rows(),
            unique(EVENT_ID),
            fresh(TIMESTAMP, context),
            steady_volume(TIMESTAMP, context, table_name="interactions"),
            *labelled(context, INTERACTIONS),
        ),
    )
