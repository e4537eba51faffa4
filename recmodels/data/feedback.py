"""What was shown and what came of it, joined into interactions that models can learn from."""

from collections.abc import Mapping

import pyarrow as pa

from recmodels.data import schema
from recmodels.data.interactions import connect, normalise

_SHOWN = f"{schema.REQUEST_ID}, {schema.ITEM_ID}"


def live_interactions(impressions: pa.Table, outcomes: pa.Table, *, user_ids: Mapping[str, str]) -> pa.Table:
    """Return one interaction for every item that was shown to a person whose id is known.

    Feedback that did not come is False, not null: the impressions given here have matured. Rows of origin ``replay``,
    and users without an id (anonymous sessions), are left out.

    Args:
        impressions: Rows in the schema `IMPRESSIONS`.
        outcomes: Rows in the schema `OUTCOMES`; the first of a kind on an item of a request counts.
        user_ids: User id by user key.

    Returns:
        Rows in the schema `INTERACTIONS`, with `exposed_at` set.
    """
    people = pa.table(
        {
            schema.USER_KEY: pa.array(list(user_ids.keys()), pa.string()),
            schema.USER_ID: pa.array(list(user_ids.values()), pa.string()),
        }
    )
    feedback = ", ".join(
        f"coalesce(bool_or({schema.KIND} = '{kind}' AND {schema.VALUE} > 0), false) AS {kind}"
        for kind in schema.FEEDBACK_COLUMNS
    )
    taken = ", ".join(f"coalesce(taken.{kind}, false) AS {kind}" for kind in schema.FEEDBACK_COLUMNS)
    query = f"""
        WITH first AS (
            SELECT * FROM outcomes
            QUALIFY 1 = row_number() OVER (
                PARTITION BY {_SHOWN}, {schema.KIND} ORDER BY {schema.TIMESTAMP}, {schema.EVENT_ID}
            )
        ), taken AS (
            SELECT {_SHOWN}, {feedback},
                   max({schema.VALUE}) FILTER ({schema.KIND} = '{schema.WATCH_SECONDS}') AS {schema.WATCH_SECONDS}
            FROM first GROUP BY {_SHOWN}
        )
        SELECT shown.{schema.REQUEST_ID} || ':' || shown.{schema.ITEM_ID} AS {schema.EVENT_ID},
               people.{schema.USER_ID}, shown.{schema.ITEM_ID}, shown.{schema.TIMESTAMP}, shown.{schema.SURFACE},
               shown.{schema.QUERY}, taken.{schema.WATCH_SECONDS}, {taken},
               shown.{schema.TIMESTAMP} AS {schema.EXPOSED_AT}, shown.{schema.ORIGIN}
        FROM impressions AS shown
        JOIN people USING ({schema.USER_KEY})
        LEFT JOIN taken USING ({_SHOWN})
        WHERE shown.{schema.ORIGIN} = '{schema.ORIGIN_EVENT}'
        ORDER BY shown.{schema.TIMESTAMP}, {schema.EVENT_ID}
    """  # noqa: S608 - names of our own schema
    with connect() as connection:
        connection.register("impressions", impressions)
        connection.register("outcomes", outcomes)
        connection.register("people", people)
        joined = connection.sql(query).to_arrow_table()
    return normalise(joined, source="the gateway")
