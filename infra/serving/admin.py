"""What operators change through the gateway: items that nobody may see, and items that are new; each is recorded."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pyarrow as pa

from infra.access import Caller, Role
from infra.audit_log import DONE, AuditLog
from infra.segments import SegmentStore
from infra.serving.bodies import decoded, encoded
from infra.serving.calls import Answer, Call
from infra.serving.keyring import Keyring
from infra.serving.newitems import items_table
from infra.serving.problems import busy
from infra.serving.schemas import NewItemsRequest, NewItemsResponse, TakedownRequest, TakedownResponse
from infra.takedowns import TakedownStore
from recmodels.data.schema import ITEM_ID
from recmodels.errors import StoreError

_SHOWN = 10
"""Most items of one change that the audit log names."""


class AdminDesk:
    """Endpoints that need an operator's token.

    Args:
        takedowns: Where takedowns are written.
        segments: Where new items are written.
        log: Where both are recorded.
        keyring: Tells whose token a request carries.
    """

    def __init__(self, takedowns: TakedownStore, segments: SegmentStore, log: AuditLog, keyring: Keyring) -> None:
        self._takedowns = takedowns
        self._segments = segments
        self._log = log
        self._keyring = keyring
        self._takedown_body = msgspec.json.Decoder(TakedownRequest)
        self._new_items_body = msgspec.json.Decoder(NewItemsRequest)

    async def takedown(self, call: Call) -> Answer:
        """Block items, or allow them again."""
        caller = self._keyring.require(call, Role.OPERATOR)
        order = decoded(self._takedown_body, call.body)
        try:
            blocked = await asyncio.to_thread(self._block, order, caller)
        except StoreError as error:
            raise busy(str(error)) from error
        return encoded(TakedownResponse(blocked))

    async def add_items(self, call: Call) -> Answer:
        """Add items to the segment that every worker serves from within seconds."""
        caller = self._keyring.require(call, Role.OPERATOR)
        items = items_table(decoded(self._new_items_body, call.body).items)
        try:
            version = await asyncio.to_thread(self._append, items, caller)
        except StoreError as error:
            raise busy(str(error)) from error
        return encoded(NewItemsResponse(version))

    def _block(self, order: TakedownRequest, caller: Caller) -> int:
        if order.is_blocked:
            self._takedowns.block(order.item_ids, reason=order.reason, by=caller.name, now=datetime.now(UTC))
        else:
            self._takedowns.lift(order.item_ids)
        action = "takedown" if order.is_blocked else "takedown lift"
        self._record(caller, action, order.item_ids, order.reason)
        return len(self._takedowns.blocked().item_ids)

    def _append(self, items: pa.Table, caller: Caller) -> int:
        version = self._segments.append(items, by=caller.name, now=datetime.now(UTC))
        self._record(caller, "items add", items[ITEM_ID].to_pylist(), f"version {version} of the segment")
        return version

    def _record(self, caller: Caller, action: str, item_ids: Sequence[str], words: str) -> None:
        more = f" and {len(item_ids) - _SHOWN} more" if len(item_ids) > _SHOWN else ""
        self._log.append(
            actor=f"gateway:{caller.name}",
            action=action,
            subject=", ".join(item_ids[:_SHOWN]) + more,
            outcome=DONE,
            words=words,
            now=datetime.now(UTC),
        )
