"""What the audit log keeps, and how it is read."""

from collections.abc import Callable
from datetime import datetime

import pytest

from infra.audit_log import MOST_WORDS, AuditLog, AuditRecord
from infra.database import Database

Later = Callable[[float], datetime]


def test_records_come_newest_first_page_by_page(database: Database, later: Later) -> None:
    log = AuditLog(database)
    for number in range(5):
        words = f"step {number} <b>ü</b>"
        log.append(actor="cli:ana", action="gc", subject="", outcome="done", words=words, now=later(number // 2))

    page = log.recent(3)
    assert [record.words[:6] for record in page] == ["step 4", "step 3", "step 2"]
    assert page[0] == AuditRecord(later(2), "cli:ana", "gc", "", "done", "step 4 <b>ü</b>")
    assert [record.words[:6] for record in log.recent(before=later(1))] == ["step 1", "step 0"]
    assert log.recent(0) == []


def test_an_unknown_outcome_is_refused_and_long_words_are_cut(database: Database, now: datetime) -> None:
    log = AuditLog(database)
    with pytest.raises(ValueError, match="outcome 'maybe' is not known"):
        log.append(actor="a", action="b", subject="c", outcome="maybe", words="", now=now)
    log.append(actor="a", action="b", subject="s" * 3000, outcome="refused", words="w" * 3000, now=now)
    (kept,) = log.recent()
    assert (len(kept.subject), len(kept.words)) == (MOST_WORDS, MOST_WORDS)
