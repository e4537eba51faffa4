"""Receipts of erasures as files, as documents and as lines that a person reads; none of them names who was erased."""

import os
from typing import Any

import msgspec

from flows.erased_models import standing
from flows.wiring import Platform
from infra.erasures import Containing, Receipt


def write_receipt(home: Platform, receipt: Receipt) -> None:
    """Write a receipt as JSON into the home's folder of receipts: whole, or not at all."""
    folder = home.settings.receipts
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{receipt.erasure_id}.json"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(receipt), indent=2))
    partial.replace(path)


def document_of(home: Platform, receipt: Receipt) -> dict[str, Any]:
    """Return a receipt with the models that hold the person now, as plain values."""
    now = standing(home, receipt)
    document: dict[str, Any] = msgspec.to_builtins(receipt)
    return document | {"standing": msgspec.to_builtins(now)}


def lines_of(receipt: Receipt, models: tuple[Containing, ...] | None = None) -> list[str]:
    """Return what a person reads of a receipt.

    Args:
        receipt: The receipt.
        models: Where its models stand now; as they stood when it was written, where left out.
    """
    ended = (
        f"completed {receipt.completed_at:%Y-%m-%d %H:%M:%S}" if receipt.completed_at else "NOT COMPLETE: run it again"
    )
    lines = [
        f"erasure {receipt.erasure_id}, asked for by {receipt.by} at {receipt.asked_at:%Y-%m-%d %H:%M:%S}, {ended}"
    ]
    if not receipt.was_known:
        lines.append("   Nothing about this user was found; nothing about them will be kept.")
    lines += [f"   {count:,} removed: {store}" for store, count in sorted(receipt.rows.items())]
    lines += [f"   {name}: versions before {first} are erased" for name, first in receipt.versions.items() if first]
    left = receipt.models if models is None else models
    for model in left:
        number = f"version {model.version}" if model.version else "not registered"
        lines.append(f"   still in {model.recipe} ({number}, {model.stage}, bundle {model.digest[:12]})")
    if left and receipt.until:
        lines.append(
            f"   The next training, without this user, begins {receipt.until:%Y-%m-%d %H:%M} UTC at the latest."
        )
    if receipt.retrain_id:
        lines.append(f"   Retrain {receipt.retrain_id} was asked for.")
    lines += [f"   {'ok' if one.passed else 'FOUND'} {one.name}: {one.words}" for one in receipt.checks]
    return lines + [f"   {note}" for note in receipt.notes]
