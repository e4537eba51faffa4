"""What rises: hand-worked ratios, a variance that counts people, and no news where nothing changed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import ndtr

from monitoring.analysis.scope import Config
from monitoring.analysis.statistics import benjamini_hochberg
from recmodels.data import schema
from tests.monitoring.analysis.tables import analysed, at, interactions, items, noise, rows_of, scope_of

SEEDS = range(20)
TWO_WEEKS = at(days=14)
FIVE = Config(least_users=5)


def watched(rows: list[tuple[str, str, float, bool]]) -> pa.Table:
    users, names, days, liked = zip(*rows, strict=True)
    return interactions(
        {
            schema.USER_ID: users,
            schema.ITEM_ID: names,
            schema.TIMESTAMP: [at(days=day) for day in days],
            schema.CLICKED: liked,
        }
    )


BEFORE = [("a", "old", 1, True), ("a", "new", 2, True), ("b", "old", 3, True), ("c", "old", 4, True)]
AFTER = [
    ("a", "new", 8, True),
    ("b", "new", 9, True),
    ("b", "new", 9, True),
    ("c", "new", 10, True),
    ("c", "old", 9, True),
]
NOT_WANTED = [("a", "new", 2, False), ("a", "old", 8, False), ("b", "new", 8, False)]


def test_the_ratio_is_that_of_smoothed_shares_when_it_is_worked_out_by_hand(tmp_path: Path) -> None:
    with scope_of(tmp_path, watched(BEFORE + AFTER + NOT_WANTED), end=TWO_WEEKS) as scope:
        found = rows_of(analysed("rising_items", scope), "name")
    assert found["new"]["ratio"] == pytest.approx(((4 + 0.5) / (5 + 1)) / ((1 + 0.5) / (4 + 1)))
    assert found["old"]["ratio"] == pytest.approx(((1 + 0.5) / (5 + 1)) / ((3 + 0.5) / (4 + 1)))
    assert (found["new"]["n1"], found["new"]["n2"], found["new"]["users2"]) == (1, 4, 3)
    assert found["new"]["shown_ratio"] == pytest.approx(5 / 2)


def test_the_interval_is_the_linearised_one_over_people_when_it_is_summed_person_by_person(tmp_path: Path) -> None:
    events = noise(3, people=30, catalogue=3)
    with scope_of(tmp_path, events, end=TWO_WEEKS, config=FIVE) as scope:
        found = rows_of(analysed("rising_items", scope), "name")
    days = (np.array([(t - at()).total_seconds() for t in events[schema.TIMESTAMP].to_pylist()]) // 86_400) >= 7
    people = np.array(events[schema.USER_ID].to_pylist())
    names = np.array(events[schema.ITEM_ID].to_pylist())
    for name, row in found.items():
        own = [(names == name) & (days == part) for part in (False, True)]
        n1, n2 = (mask.sum() + 0.5 for mask in own)
        whole1, whole2 = ((days == part).sum() + 1 for part in (False, True))
        variance = 0.0
        for user in set(people):
            his = people == user
            of_item = (own[1] & his).sum() / n2 - (own[0] & his).sum() / n1
            of_all = (his & days).sum() / whole2 - (his & ~days).sum() / whole1
            variance += (of_item - of_all) ** 2
        variance = max(variance, 1 / n1 + 1 / n2)
        assert np.log(row["upper"] / row["lower"]) / (2 * 1.959964) == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_nothing_rises_in_95_percent_of_seeds_when_nothing_changes(tmp_path: Path) -> None:
    alarms = naive = 0
    for seed in SEEDS:
        with scope_of(tmp_path, noise(seed), end=TWO_WEEKS, config=FIVE) as scope:
            table = analysed("rising_items", scope).table
        alarms += any(table["is_rising"].to_pylist())
        n1, n2 = table["n1"].to_numpy(), table["n2"].to_numpy()
        ratio = np.log((n2 + 0.5) / (n1 + 0.5) * (n1.sum() + 1) / (n2.sum() + 1))
        z = ratio / np.sqrt(1 / (n1 + 0.5) + 1 / (n2 + 0.5))
        naive += bool((benjamini_hochberg(ndtr(-z)) <= 0.05).any())
    assert alarms <= 0.05 * len(SEEDS)
    assert naive > 0.9 * len(SEEDS)  # counting events instead of people, the same noise is news


def test_an_item_rises_when_many_people_turn_to_it(tmp_path: Path) -> None:
    turned = [(f"u{n}", "hit", 8 + n / 100, True) for n in range(60)] + [(f"u{n}", "hit", 2, True) for n in range(9)]
    events = pa.concat_tables([noise(1), watched(turned)])
    catalogue = items({schema.ITEM_ID: ["hit"], schema.TEXT: ["The <b>Hit</b>"]})
    with scope_of(tmp_path, events, catalogue=catalogue, end=TWO_WEEKS, config=FIVE) as scope:
        found = analysed("rising_items", scope)
    assert "1 of 31 items" in found.findings[0]
    assert "The <b>Hit</b>" in found.findings[1]
    assert rows_of(found, "name")["hit"]["lower"] > 2
    assert found.table["name"][0].as_py() == "hit"


def test_one_person_is_no_news_when_they_watch_one_item_a_thousand_times(tmp_path: Path) -> None:
    binge = [("u1", "i3", 8 + n / 1000, True) for n in range(1_000)]
    with scope_of(tmp_path, pa.concat_tables([noise(2), watched(binge)]), end=TWO_WEEKS, config=FIVE) as scope:
        found = analysed("rising_items", scope)
    assert found.findings[0].startswith("Nothing rises")
    assert rows_of(found, "name")["i3"]["ratio"] > 5


def test_creators_and_topics_rise_when_their_items_do(tmp_path: Path) -> None:
    turned = [(f"u{n}", f"h{n % 9}", 8 + n / 100, True) for n in range(90)]
    catalogue = items(
        {
            schema.ITEM_ID: [*(f"h{n}" for n in range(9)), *(f"i{n}" for n in range(30))],
            schema.CREATOR_ID: ["maker"] * 9 + [f"c{n % 5}" for n in range(30)],
            schema.CATEGORY: ["sea|sky"] * 9 + [f"t{n % 5}" for n in range(30)],
        }
    )
    events = pa.concat_tables([noise(4), watched(turned)])
    with scope_of(tmp_path, events, catalogue=catalogue, end=TWO_WEEKS, config=FIVE) as scope:
        tops = [analysed(name, scope).table["name"][0].as_py() for name in ("rising_creators", "rising_topics")]
    assert tops == ["maker", "sea"]
