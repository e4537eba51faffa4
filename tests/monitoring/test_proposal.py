"""Proposed suites: modules that load, that their own data passes, and that notice what is outside of it."""

from typing import Any

import pyarrow as pa
import pytest

from monitoring.expectations import SUITES
from monitoring.proposal import propose
from monitoring.quarantine import sift
from monitoring.suite import Question, Suite
from recmodels.errors import DataError, UnknownNameError
from tests.monitoring.sample_tables import ROWS, context, sample, with_column


def _load(text: str) -> Suite:
    names: dict[str, Any] = {}
    exec(compile(text, "proposed.py", "exec"), names)
    suite: Suite = names["suite"](context())
    return suite


@pytest.mark.parametrize("name", SUITES.names())
def test_a_proposal_is_passed_by_its_own_data_when_it_is_loaded(name: str) -> None:
    table = sample(name)
    suite = _load(propose(table, name))
    sifted = sift(table, suite, usable=frozenset(suite.schema.names))
    assert sifted.is_quarantined.sum() == 0
    assert len(sifted.broken) == len(suite.rows) + 1  # each rule was judged, and the key
    assert all(isinstance(rule.asks(table), Question) for rule in suite.table if rule.name != "row volume")


def test_a_proposal_states_ranges_and_words_when_the_data_shows_them() -> None:
    table = with_column(sample("interactions"), "watch_seconds", pa.array([float(i) for i in range(10, 50)]))
    text = propose(table, "interactions")
    # 10 to 49, a tenth of 39 around it
    assert "within('watch_seconds', 6.1, 52.9)," in text
    assert "within('rating', 4.0, 4.0)," in text
    assert "one_of('surface', ('video',))," in text
    assert "one_of('event_id'" not in text
    assert "'shared'" not in text  # a column without a value
    assert "not_mostly_null('rating', context)," in text


def test_a_proposal_notices_a_row_when_it_is_outside_of_what_was_profiled() -> None:
    suite = _load(propose(sample("interactions"), "interactions"))
    changed = sample("interactions", {1: {"rating": 5.0}, 2: {"surface": "radio"}})
    sifted = sift(changed, suite, usable=frozenset(suite.schema.names))
    assert [(b.rule.reason, b.count) for b in sifted.broken if b.count] == [
        ("surface is not one of video", 1),
        ("rating is outside 4 to 4", 1),
    ]


def test_a_proposal_is_refused_when_there_is_nothing_to_profile() -> None:
    with pytest.raises(DataError, match="'items': the table has no rows"):
        propose(sample("items").slice(0, 0), "items")
    with pytest.raises(DataError, match="'items': safety missing or of a wrong type"):
        propose(with_column(sample("items"), "safety", pa.array(range(ROWS))), "items")
    with pytest.raises(UnknownNameError, match="'item' is not known"):
        propose(sample("items"), "item")
