"""Sessions: a person's events without a long pause between them."""

from monitoring.analysis.scope import Scope


def visits(scope: Scope) -> str:
    """Return SQL for ``events`` with `visit` (number of the user's session) and `before` (surface before, in it).

    A pause longer than the configured gap, from one event's time to the next's, ends a session. Events of one moment
    are ordered by item.
    """
    gap = round(scope.config.session_gap_minutes * 60e6)
    return f"""(
        SELECT *, lag(surface) OVER (PARTITION BY user, visit ORDER BY moment, item) AS before FROM (
            SELECT *, sum(is_new) OVER (PARTITION BY user ORDER BY moment, item ROWS UNBOUNDED PRECEDING) AS visit
            FROM (
                SELECT *, (coalesce(moment - lag(moment) OVER (PARTITION BY user ORDER BY moment, item), {gap + 1})
                    > {gap})::INTEGER AS is_new FROM events
            )
        )
    )"""  # noqa: S608 - a number
