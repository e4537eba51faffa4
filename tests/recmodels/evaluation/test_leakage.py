"""Leaks planted in a clean world are found by their names, and nothing is found in the clean world."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recmodels.data.interactions import deduplicate, normalise
from recmodels.data.schema import (
    CATEGORY,
    DURATION_SECONDS,
    EVENT_ID,
    INTERACTIONS,
    ITEM_ID,
    PUBLISHED_AT,
    TIMESTAMP,
    TIMESTAMP_TYPE,
    USER_ID,
    Tables,
)
from recmodels.data.sources import movielens
from recmodels.evaluation.leakage import LeakageConfig, LeakageReport, Severity
from recmodels.evaluation.leakage.identifiers import order_of
from recmodels.evaluation.leakage.ranks import association, correlation, partial, ranks
from recmodels.recipe import override
from tests.recmodels.data import tables as rows
from tests.recmodels.evaluation.leaky import (
    PAPERS,
    TIME,
    audit_of,
    count_by,
    cut_of,
    found,
    renamed,
    with_item_column,
    with_user_column,
    world,
)


def test_no_leak_is_found_in_a_world_without_one() -> None:
    report = audit_of(world())
    assert report.leaks == ()
    assert [note.name for note in report.notes] == ["repeated_pairs"]  # people of this world return to items
    assert report.words.startswith("no leak in 14 checks; notes: repeated_pairs")
    names = {finding.name for finding in report.findings}
    assert {"shared_events", "later_training", "ties", "item_ids", "user_ids"} <= names
    assert {"items.published_at", "items.duration_seconds", "users.signed_up_at", "users.region"} <= names


@pytest.mark.parametrize("seed", range(4))
def test_a_column_of_chance_is_no_leak(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = world().users.num_rows
    tables = with_user_column(world(), "number", rng.integers(0, 9, users))
    tables = with_user_column(tables, "word", rng.choice(list("abcdef"), users))
    assert audit_of(tables).leaks == ()


def _logged_twice(tables: Tables, *, later: timedelta) -> Tables:
    """Log some of the clicks just before the cut a second time, just after it."""
    rows_, cut = tables.interactions, cut_of(tables)
    clicked = rows_.filter(pc.and_(rows_["clicked"], pc.less(rows_[TIMESTAMP], pa.scalar(cut, TIMESTAMP_TYPE))))
    last = clicked.sort_by(TIMESTAMP).slice(clicked.num_rows - 40)
    moments = [cut - timedelta(milliseconds=1)] * 40, [cut - timedelta(milliseconds=1) + later] * 40
    copies = []
    for number, times in enumerate(moments):
        copy = last.set_column(
            rows_.schema.get_field_index(TIMESTAMP), rows_.schema.field(TIMESTAMP), pa.array(times, TIMESTAMP_TYPE)
        )
        ids = pa.array([f"copy-{number}-{n}" for n in range(40)])
        copies.append(copy.set_column(rows_.schema.get_field_index(EVENT_ID), rows_.schema.field(EVENT_ID), ids))
    return replace(tables, interactions=pa.concat_tables([rows_, *copies]).cast(INTERACTIONS))


def test_events_on_both_sides_are_a_leak_when_they_were_logged_twice() -> None:
    cut = cut_of(world())
    recipe = override(
        TIME,
        [f"split.validation_from={(cut - timedelta(days=3)).isoformat()}", f"split.test_from={cut.isoformat()}"],
    )
    twice = _logged_twice(world(), later=timedelta(milliseconds=500))
    finding = found(audit_of(twice, recipe), "shared_events")
    assert finding.severity == Severity.LEAK
    tests = float(finding.what.split(" of ")[1].split(" ")[0].replace(",", ""))
    assert finding.size == pytest.approx(40 / tests)
    later = _logged_twice(world(), later=timedelta(seconds=5))
    assert found(audit_of(later, recipe), "shared_events").severity == Severity.OK


def test_equal_events_are_a_leak_when_leave_one_out_cuts_between_them() -> None:
    events = [(f"u{n}", item, second) for n in range(10) for second, item in enumerate(["a", "b", f"c{n}"])]
    twice = [(f"u{n}", f"c{n}", 2) for n in range(4)]
    table = rows.interactions(events + twice, event_id=[f"e{n}" for n in range(len(events + twice))])
    users = pa.table({USER_ID: pc.unique(table[USER_ID])})
    report = audit_of(Tables("twice", table, rows.items_of(table), users), PAPERS)
    assert found(report, "shared_events").size == 4 / 10
    assert found(report, "shared_events").severity == Severity.LEAK
    assert found(report, "ties").size == 4 / 10
    assert "u0" not in report.model_dump_json()


def test_repeats_bound_what_can_be_found_when_seen_items_are_removed() -> None:
    removed = found(audit_of(world()), "repeated_pairs")
    kept = found(audit_of(world(), override(TIME, ["evaluation.remove_seen=false"])), "repeated_pairs")
    assert removed.size == kept.size > 0.01
    assert f"no model can find more than {1 - removed.size:.1%}" in removed.why
    assert "Seen items are kept" in kept.why


@pytest.mark.parametrize("key", [ITEM_ID, USER_ID])
@pytest.mark.parametrize("prefix", ["", "v"])
def test_ids_are_a_leak_when_they_were_numbered_as_they_appeared(key: str, prefix: str) -> None:
    tables = world()
    order = tables.interactions.filter(tables.interactions["clicked"]).sort_by(TIMESTAMP)[key].to_pylist()
    first = {name: str(number) for number, name in enumerate(dict.fromkeys(order), start=9)}
    table = tables.items if key == ITEM_ID else tables.users
    names = {name: prefix + first.get(name, str(10_000 + n)) for n, name in enumerate(table[key].to_pylist())}
    finding = found(audit_of(renamed(tables, key, names)), "item_ids" if key == ITEM_ID else "user_ids")
    assert finding.severity == Severity.LEAK
    assert finding.size == pytest.approx(1.0)


def test_ids_are_a_note_when_they_only_grow_with_time() -> None:
    tables = world()
    rng = np.random.default_rng(2)
    published = tables.items[PUBLISHED_AT].cast(pa.int64()).to_numpy() / 86_400_000_000
    first = count_by(tables, ITEM_ID, end=cut_of(tables)) == 0  # newcomers of the test part get the largest numbers
    numbers = np.argsort(np.argsort(published + 20 * first + rng.normal(0, 2, len(published))))
    names = dict(zip(tables.items[ITEM_ID].to_pylist(), map(str, numbers.tolist()), strict=True))
    finding = found(audit_of(renamed(tables, ITEM_ID, names)), "item_ids")
    assert finding.severity == Severity.NOTE
    assert 0.3 < finding.size < 0.999


@pytest.mark.parametrize("window", ["test", "all"])
def test_a_count_of_events_after_the_cut_is_a_leak(window: str) -> None:
    tables = world()
    counts = count_by(tables, USER_ID, start=cut_of(tables) if window == "test" else None)
    finding = found(audit_of(with_user_column(tables, "events", counts)), "users.events")
    assert finding.severity == Severity.LEAK
    assert "equals the number of" in finding.what
    seconds = pa.array(count_by(tables, ITEM_ID, start=cut_of(tables) if window == "test" else None), pa.float64())
    report = audit_of(with_item_column(tables, DURATION_SECONDS, seconds))
    assert found(report, "items.duration_seconds").severity == Severity.LEAK


def test_a_count_of_events_before_the_cut_is_no_leak() -> None:
    tables = world()
    counts = count_by(tables, USER_ID, end=cut_of(tables))
    finding = found(audit_of(with_user_column(tables, "events", counts)), "users.events")
    assert finding.severity == Severity.OK


def test_a_count_of_all_events_is_a_leak_when_the_split_is_leave_one_out() -> None:
    tables = world()
    clicks = replace(tables, interactions=tables.interactions.filter(tables.interactions["clicked"]))
    report = audit_of(with_user_column(tables, "clicks", count_by(clicks, USER_ID)), PAPERS)
    assert found(report, "users.clicks").severity == Severity.LEAK
    assert found(report, "later_training").severity == Severity.NOTE


def test_a_column_is_no_leak_when_it_tells_of_both_windows_alike() -> None:
    finding = found(audit_of(world()), "items.category")  # categories differ in what people like of them
    assert finding.size > 0.3
    assert finding.severity == Severity.OK


def test_a_column_is_a_leak_when_it_foresees_the_test_part() -> None:
    tables, rng = world(), np.random.default_rng(0)
    later = count_by(tables, USER_ID, start=cut_of(tables))
    numbers = with_user_column(tables, "score", np.round(later + rng.normal(0, 2, len(later)), 3))
    assert found(audit_of(numbers), "users.score").severity == Severity.LEAK
    words = np.array(["none", "some", "many"])[np.digitize(later, [1, np.median(later[later > 0])])]
    assert found(audit_of(with_user_column(tables, "segment", words)), "users.segment").severity == Severity.LEAK
    items = count_by(tables, ITEM_ID, start=cut_of(tables))
    trending = pa.array(np.where(items > np.quantile(items, 0.8), "trending", "other"))
    assert found(audit_of(with_item_column(tables, CATEGORY, trending)), "items.category").severity != Severity.OK


def test_a_time_is_a_leak_when_it_lies_after_the_cut() -> None:
    tables = world()
    places = pc.index_in(
        tables.interactions[USER_ID].combine_chunks(), value_set=tables.users[USER_ID].combine_chunks()
    ).to_numpy()
    last = np.zeros(tables.users.num_rows, dtype=np.int64)
    np.maximum.at(last, places, tables.interactions[TIMESTAMP].cast(pa.int64()).to_numpy())
    days = np.where(last > 0, last.astype("datetime64[us]").astype("datetime64[D]").astype(str), None)
    finding = found(audit_of(with_user_column(tables, "last_active", days)), "users.last_active")
    assert finding.severity == Severity.LEAK
    assert "was written after it" in finding.why
    times = pa.array(np.full(tables.items.num_rows, cut_of(tables).replace(tzinfo=None), dtype="datetime64[us]"))
    report = audit_of(with_item_column(tables, PUBLISHED_AT, times.cast(TIMESTAMP_TYPE)))
    assert found(report, "items.published_at").severity == Severity.LEAK


def test_a_time_is_a_note_when_some_events_come_before_it() -> None:
    tables = world()
    late = cut_of(tables) - timedelta(days=8)
    signed = [late if n % 10 == 0 else one for n, one in enumerate(tables.users["signed_up_at"].to_pylist())]
    place = tables.users.schema.get_field_index("signed_up_at")
    column = pa.array(signed, TIMESTAMP_TYPE)
    moved = replace(tables, users=tables.users.set_column(place, tables.users.schema.field(place), column))
    finding = found(audit_of(moved), "users.signed_up_at")
    assert finding.severity == Severity.NOTE
    assert 0.02 < finding.size < 0.1
    assert found(audit_of(tables), "users.signed_up_at").severity == Severity.OK


def test_ties_are_a_note_for_a_time_split_and_a_leak_for_leave_one_out() -> None:
    tables = world()
    moments = tables.interactions[TIMESTAMP].cast(pa.int64()).to_numpy() // 3_600_000_000 * 3_600_000_000
    hours = pa.array(moments).cast(pa.timestamp("us")).cast(TIMESTAMP_TYPE)
    place = INTERACTIONS.get_field_index(TIMESTAMP)
    coarse = replace(tables, interactions=tables.interactions.set_column(place, INTERACTIONS.field(place), hours))
    assert found(audit_of(coarse), "ties").severity == Severity.NOTE
    assert found(audit_of(coarse, PAPERS), "ties").severity == Severity.LEAK
    assert found(audit_of(tables), "ties").severity == Severity.OK


def test_times_are_not_judged_when_the_data_has_an_order_only() -> None:
    events = [(f"u{n}", f"i{(n + second) % 70}", second) for n in range(60) for second in range(5)]
    table = rows.interactions(events)
    users = pa.table({USER_ID: pc.unique(table[USER_ID])})
    report = audit_of(Tables("ordered", table, rows.items_of(table), users, is_order_only=True), PAPERS)
    assert report.leaks == report.notes == ()
    assert [finding.size for finding in report.findings] == [0.0] * len(report.findings)
    assert not {"item_ids", "user_ids"} & {finding.name for finding in report.findings}


def test_an_accepted_leak_is_a_note_and_others_stay() -> None:
    tables = world()
    planted = with_user_column(tables, "a", count_by(tables, USER_ID))
    planted = with_user_column(planted, "b", count_by(tables, USER_ID, start=cut_of(tables)))
    report = audit_of(planted)
    assert {leak.name for leak in report.leaks} == {"users.a", "users.b"}
    assert report.findings[0].severity == Severity.LEAK
    accepted = report.accepting(["users.a"])
    assert [leak.name for leak in accepted.leaks] == ["users.b"]
    assert found(accepted, "users.a").what.endswith("(accepted)")
    assert accepted.words == "1 of 16 checks found a leak: users.b"
    assert LeakageReport.model_validate_json(report.model_dump_json()) == report


def test_real_data_holds_what_is_known_of_it(shared_data: Path) -> None:
    tables = movielens.read(shared_data / "ml_latest_small")
    unique = deduplicate(normalise(tables.interactions, source="ml")).table
    real = replace(tables, interactions=unique)
    report = audit_of(real)
    assert report.leaks == ()
    assert found(report, "item_ids").severity == Severity.NOTE  # numbers grew with the site's catalogue
    assert 0.9 < found(report, "item_ids").size < 0.95
    papers = audit_of(real, PAPERS)
    assert [leak.name for leak in papers.leaks] == ["ties"]
    assert 0.1 < found(papers, "ties").size < 0.2


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["10", "9", "007"], [10, 9, 7]),
        (["v000010", "v9", "v0"], [10, 9, 0]),
        (["v1", "w0"], ["v1", "w0"]),
        (["b", "a1x"], ["b", "a1x"]),
    ],
)
def test_ids_are_ordered_as_they_were_counted(ids: list[str], expected: list[object]) -> None:
    assert order_of(pa.array(ids))[0].tolist() == expected


def test_rank_correlations_are_those_of_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    first, given = rng.integers(0, 9, 200), rng.integers(0, 5, 200)
    second = first + 3 * given + rng.integers(0, 9, 200)
    assert np.array_equal(ranks(first), stats.rankdata(first))
    assert correlation(ranks(first), ranks(second)) == pytest.approx(stats.spearmanr(first, second).statistic)
    x, y, z = (ranks(one) for one in (first, second, given))
    xy, xz, yz = (stats.pearsonr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    assert partial(x, y, z) == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))


def test_nothing_is_explained_when_nothing_is_left() -> None:
    same = np.arange(30.0)
    assert partial(same, same**2, same) == 0
    assert partial(np.ones(30), same**2, same) == 0
    assert association(np.arange(30), same**2, same) == 0  # a group of its own for each explains by chance alone
    groups = np.repeat([0, 1], 15)
    assert association(groups, groups.astype(float), np.tile(np.arange(15.0), 2)) == pytest.approx(1.0)


def test_limits_are_refused_when_they_make_no_sense() -> None:
    with pytest.raises(ValueError, match="minimum_ids"):
        LeakageConfig(minimum_ids=1)
