"""The door for accounts that are held back: their rows go to the quarantine, whichever way they come to the lake."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from flows.wiring import Platform
from infra.held_accounts import HeldAccount
from monitoring.drift.shilling import quarantine_accounts, without_accounts
from monitoring.quarantine import row_ids
from recmodels.data import schema


def hold_back(home: Platform, interactions: pa.Table) -> pa.Table:
    """Put the rows of held accounts into the quarantine, each once, and return the rows of all others.

    Args:
        home: The stores.
        interactions: Rows on their way into the lake, in the schema `INTERACTIONS`.
    """
    held = home.held_accounts.among(interactions[schema.USER_ID], secret=home.settings.user_secret())
    if not held:
        return interactions
    keep_back(home, interactions, held)
    return without_accounts(interactions, pa.array(list(held), pa.string()))


def keep_back(home: Platform, interactions: pa.Table, held: Mapping[str, HeldAccount]) -> None:
    """Put the rows of some accounts into the quarantine, as of the moment that the accounts were held back.

    A row that is there for the same reason is not put there again: sources are read every day.

    Args:
        home: The stores.
        interactions: Any rows in the schema `INTERACTIONS`.
        held: The accounts by their user ids.
    """
    by_moment: dict[datetime, dict[str, str]] = {}
    for user_id, account in held.items():
        by_moment.setdefault(account.at, {})[user_id] = account.reason
    rows = pa.concat_tables(quarantine_accounts(interactions, reasons, at=at) for at, reasons in by_moment.items())
    if rows.num_rows and home.lake.version("quarantine") is not None:
        there = row_ids(home.lake.read("quarantine", start=min(by_moment)))
        rows = rows.filter(pc.invert(pc.is_in(row_ids(rows), value_set=there.combine_chunks())))
    if rows.num_rows:
        home.lake.append("quarantine", rows)
