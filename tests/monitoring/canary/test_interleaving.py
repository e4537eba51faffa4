"""Drafts by hand and against the algorithm as the paper writes it; calibration and power by simulation."""

import numpy as np
import pytest

from monitoring.canary.interleaving import (
    EMPTY,
    NOBODY,
    TEAM_A,
    TEAM_B,
    InterleavingConfig,
    credit,
    preference,
    team_draft,
)

A, B = np.array([[1, 2, 3]]), np.array([[2, 1, 4]])
LIMIT = 20.0


def drafts(a, b, *, times, seed=0):
    drawn = team_draft(np.repeat(a, times, axis=0), np.repeat(b, times, axis=0), rng=np.random.default_rng(seed))
    return [tuple(zip(i.tolist(), t.tolist(), strict=True)) for i, t in zip(drawn.items, drawn.teams, strict=True)]


def as_the_paper_writes_it(a, b, coins):
    """Algorithm 2: while both have an item left, the smaller team picks; a coin decides between equal teams."""
    chosen, teams = [], []
    while set(a) - set(chosen) and set(b) - set(chosen) and len(chosen) < len(a):
        size_a, size_b = teams.count(TEAM_A), teams.count(TEAM_B)
        is_a = size_a < size_b or (size_a == size_b and coins[len(chosen) // 2] == TEAM_A)
        chosen.append(next(item for item in (a if is_a else b) if item not in chosen))
        teams.append(TEAM_A if is_a else TEAM_B)
    return chosen, teams


def test_two_captains_pick_by_turns_when_the_coin_decides_who_begins():
    found = drafts(A, B, times=4000)
    expected = {
        ((1, TEAM_A), (2, TEAM_B), (3, TEAM_A)),
        ((1, TEAM_A), (2, TEAM_B), (4, TEAM_B)),
        ((2, TEAM_B), (1, TEAM_A), (3, TEAM_A)),
        ((2, TEAM_B), (1, TEAM_A), (4, TEAM_B)),
    }
    assert set(found) == expected
    counts = [found.count(draft) for draft in expected]
    assert min(counts) > 900, "each of the four is a quarter; 900 is 3.7 standard deviations below"


def test_a_draft_is_the_papers_when_lists_overlap_and_differ():
    rng = np.random.default_rng(5)
    a = np.stack([rng.permutation(12)[:6] + 1 for _ in range(300)])
    b = np.stack([rng.permutation(12)[:6] + 1 for _ in range(300)])
    coins = np.random.default_rng(9).integers(0, 2, size=(300, 3), dtype=np.int8)
    found = team_draft(a, b, rng=np.random.default_rng(9))
    for row in range(300):
        items, teams = as_the_paper_writes_it(a[row].tolist(), b[row].tolist(), coins[row])
        assert found.items[row].tolist() == items
        assert found.teams[row].tolist() == teams


def test_a_draft_ends_when_one_captain_has_nothing_left():
    rest = ((EMPTY, NOBODY), (EMPTY, NOBODY))
    found = set(drafts(np.array([[7, EMPTY, EMPTY]]), np.array([[7, 8, 9]]), times=50))
    assert found == {((7, TEAM_A), *rest), ((7, TEAM_B), *rest)}


def test_nothing_is_drafted_when_a_list_is_empty():
    assert set(drafts(np.zeros((1, 2), int), np.array([[1, 2]]), times=10)) == {((EMPTY, NOBODY), (EMPTY, NOBODY))}


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"shapes \(1, 3\) and \(1, 2\)"):
        team_draft(A, B[:, :2], rng=np.random.default_rng(0))


def test_choices_are_credited_to_the_captain_who_took_the_item():
    draft = team_draft(
        np.array([[1, 2], [5, 6], [1, 2]]), np.array([[3, 4], [7, 8], [3, 4]]), rng=np.random.default_rng(1)
    )
    is_chosen = (draft.items == 3) | (draft.items == 7) | (draft.items == 5)
    found = credit(draft, is_chosen, np.array(["zoe", "ann", "zoe"]))
    assert found.tolist() == [[1, 1], [0, 2]], "ann chose 5 of A and 7 of B; zoe twice 3 of B"


def test_a_preference_counts_users_and_not_choices():
    found = preference(np.array([[0, 9], [1, 0], [2, 1], [3, 3], [0, 0]]))
    assert (found.wins, found.losses, found.ties) == (1, 2, 2)
    assert (found.clicks_a, found.clicks_b) == (6, 13)
    assert found.verdict == "undecided"


def test_a_side_is_believed_when_its_evidence_reaches_one_over_alpha():
    better = preference(np.tile([0, 1], (10, 1)))
    # the mixture Beta(3, 1) above one half: 3 / (1 - 1/8) * integral of p^12 from 1/2 to 1, over 2^-10
    assert better.e_better == pytest.approx(24 / 7 * (1 - 2**-13) / 13 * 2**10)
    assert (better.verdict, preference(np.tile([1, 0], (10, 1))).verdict) == ("better", "worse")
    assert preference(np.tile([0, 1], (10, 1)), config=InterleavingConfig(alpha=0.001)).verdict == "undecided"
    assert "better: the challenger won 10 users, lost 0 and tied 0" in better.words


def simulated(*, users, lists, seed):
    """Users with a click rate each, who choose items in proportion to the items' worth; credits in order of visit."""
    rng = np.random.default_rng(seed)
    worth = rng.uniform(0.2, 1.0, 40)
    best = np.argsort(-worth, kind="stable") + 1
    a = np.tile(best[:10], (users, 1))
    b = np.tile({"same": best[:10], "worse": best[15:25]}[lists], (users, 1))
    draft = team_draft(a, b, rng=rng)
    rate = rng.beta(0.5, 2.0, users)[:, None]
    is_chosen = rng.random(draft.items.shape) < rate * worth[draft.items - 1]
    return credit(draft, is_chosen, np.arange(users))


def test_equal_rankers_are_seldom_told_apart_when_looked_at_often():
    claimed = 0
    for seed in range(200):
        credited = simulated(users=600, lists="same", seed=seed)
        looks = [preference(credited[:size]) for size in range(25, 601, 25)]
        claimed += any(look.verdict != "undecided" for look in looks)
    assert claimed / 200 <= 0.1, "alpha is 0.05 for each direction"


def test_a_clearly_worse_ranker_is_found_when_1000_users_came():
    found = [preference(simulated(users=1000, lists="worse", seed=seed)).verdict for seed in range(40)]
    assert found.count("worse") == 40
