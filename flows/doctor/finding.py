"""What a check comes to: something that was looked at, and what would put it right."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `advice` says what to do, and is empty where nothing is wrong."""

    subject: str
    is_ok: bool
    seen: str
    advice: str = ""


@dataclass(frozen=True)
class Repair:
    """Something broken that can be put right without a person's judgement.

    Attributes:
        subject: What is broken.
        seen: How that is known.
        action: What is done about it.
        apply: Does it, after another look at whether it is still so; returns whether it was.
    """

    subject: str
    seen: str
    action: str
    apply: Callable[[], bool]

    def finding(self) -> Finding:
        """Return it as a finding, whose advice is to let it be done."""
        return Finding(self.subject, is_ok=False, seen=self.seen, advice=f"`everfeed doctor --fix` {self.action}.")
