from dataclasses import replace
from datetime import UTC, datetime

import pytest

from recmodels.evaluation.comparison import compare
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.gate import GateConfig, decide
from recmodels.evaluation.leakage import Finding, LeakageReport, Severity
from recmodels.evaluation.model_card import CardFacts, render
from recmodels.lineage import OLDER_USERS, WarmStartReport
from recmodels.recipe import EvaluationConfig, override

FACTS = CardFacts(
    data="six films", snapshot="5eed" * 16, trained_until=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), digest="d1ce" * 16
)


@pytest.fixture
def evaluation(make_ranker, queries):
    return evaluate(make_ranker((6, 5, 4, 3, 2, 1)), queries, config=EvaluationConfig(), seed=0)


def test_card_says_where_the_model_comes_from_and_what_it_reached_when_it_is_whole(recipe, evaluation):
    comparison = compare(evaluation, evaluation, metric="ndcg_at_10", samples=100, confidence=0.95, seed=0)
    decision = decide(evaluation, champion=evaluation, floor=None, comparison=comparison, config=GateConfig())
    card = render(recipe, FACTS, evaluation=evaluation, comparison=comparison, decision=decision)
    assert card.startswith("# Model card: films\n")
    assert "| data | six films, snapshot `5eed5eed5eed`, events before 2026-01-02 03:04 UTC |" in card
    assert "| gate | refused |" in card
    assert "catalogue of 6 items" in card
    assert "2 users, 3 queries" in card
    assert "| recall_at_10 | 0.7500 |" in card
    assert "| user=new | 1 |" in card
    assert "not distinguishable: ndcg_at_10" in card
    assert "- user=known: not distinguishable" in card
    assert "| enough_users | **refused** | enough_users: test users: 2, must be at least 20." in card
    assert "50.0% of the test users had no event in the training part" in card
    assert "20.0% of the test events are of items outside the catalogue" in card
    assert '"name": "popularity"' in card
    assert card.endswith("\n")


def test_card_tells_what_the_audit_found_when_there_was_one(recipe, evaluation):
    leak = Finding(
        name="users.last_active",
        severity=Severity.LEAK,
        size=1.0,
        what="What was seen.",
        why="Why it matters.",
        advice="What to do.",
    )
    quiet = [Finding(name=name, severity=Severity.OK, size=0.0, what="Nothing.") for name in ("ties", "item_ids")]
    facts = replace(FACTS, leakage=LeakageReport(findings=(leak, *quiet)))
    card = render(recipe, facts, evaluation=evaluation)
    assert "## Leakage audit\n\n1 of 3 checks found a leak: users.last_active." in card
    assert "| users.last_active | **leak** | What was seen. Why it matters. | What to do. |" in card
    assert "Nothing was found by: ties, item_ids." in card
    clean = render(recipe, replace(FACTS, leakage=LeakageReport(findings=tuple(quiet))), evaluation=evaluation)
    assert "No leak in 2 checks.\n\nNothing was found by: ties, item_ids." in clean
    assert "## Leakage audit" not in render(recipe, FACTS, evaluation=evaluation)


def test_card_says_that_nothing_was_compared_when_there_is_no_champion(recipe, evaluation):
    card = render(recipe, FACTS, evaluation=evaluation)
    assert "There was no champion to compare with." in card
    assert "| gate | not asked |" in card
    assert "## Gate" not in card


def test_card_warns_of_the_protocol_when_it_is_leave_one_out(recipe, evaluation):
    papers = override(recipe, ["split.kind=leave_one_out"])
    facts = CardFacts("beauty", "5eed" * 16, FACTS.trained_until, "d1ce" * 16, is_order_only=True)
    card = render(papers, facts, evaluation=evaluation)
    assert "an order without times" in card
    assert "do not expect these values from traffic" in card


def test_cells_keep_the_table_whole_when_a_text_holds_a_bar(recipe, evaluation):
    facts = CardFacts("films|series", "5eed" * 16, FACTS.trained_until, "d1ce" * 16)
    assert "films\\|series" in render(recipe, facts, evaluation=evaluation)


def test_card_tells_the_lineage_and_what_was_forgotten_when_training_went_on(recipe, evaluation):
    report = WarmStartReport(
        parent="9a4e" * 16,
        since=datetime(2025, 12, 1, tzinfo=UTC),
        items_carried=1500,
        items_new=80,
        items_without_neighbours=2,
        items_dropped=3,
    )
    facts = replace(FACTS, origin="from the champion 9a4e9a4e9a4e", warm_start=report)
    alone = render(recipe, facts, evaluation=evaluation)
    assert "| training started | from the champion 9a4e9a4e9a4e |" in alone
    assert "| parent | `9a4e9a4e9a4e` |" in alone
    assert "| new events | since 2025-12-01 00:00 UTC |" in alone
    assert "| items carried over | 1,500 |" in alone
    assert "| items new, from creator or category | 78 |" in alone
    assert "| forgetting | judged when the gate is asked |" in alone
    comparison = compare(evaluation, evaluation, metric="ndcg_at_10", samples=100, confidence=0.95, seed=0)
    known = replace(comparison, slices={OLDER_USERS: comparison})
    card = render(recipe, facts, evaluation=evaluation, comparison=known)
    assert "| forgetting, older users against the champion | not distinguishable: ndcg_at_10" in card


def test_card_says_from_scratch_when_nothing_was_gone_on_from(recipe, evaluation):
    card = render(recipe, FACTS, evaluation=evaluation)
    assert "| training started | from scratch |" in card
    assert "## Warm start" not in card
