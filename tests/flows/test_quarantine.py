"""Quarantined rows: listed, shown, and released through the door that refused them, once and never lost."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.quarantine import Choice, chosen, groups, release
from flows.references import DataSet
from flows.wiring import Platform
from infra.event_records import user_key
from infra.settings import Settings
from monitoring.quality import ValidationContext, load_suites, prepare
from recmodels.data import schema
from recmodels.errors import DataError
from tests.flows.commands import Terminal
from tests.monitoring.sample_tables import NOW as SAMPLED_AT
from tests.monitoring.sample_tables import sample

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND = (datetime(2026, 1, day, 12, tzinfo=UTC) for day in (10, 11))


@pytest.fixture
def home(tmp_path: Path) -> Platform:
    """A home with 36 good interactions and two quarantined batches: three odd rows, then one that repeats another."""
    platform = Platform(Settings(home=tmp_path / "home"))
    platform.settings.root.mkdir()
    (platform.settings.root / "data_set.json").write_text(DataSet(name="d", is_order_only=False).model_dump_json())
    platform.lake.replace("items", sample("items").cast(schema.ITEMS))
    _validate(platform, {37: {"watch_seconds": -1.0}, 38: {"watch_seconds": -2.0}, 39: {"item_id": "gone"}}, FIRST)
    _validate(platform, {1: {"event_id": "e0", "rating": 1.0}}, SECOND, rows=2)
    return platform


def _validate(platform: Platform, changes: dict[int, dict[str, Any]], at: datetime, *, rows: int = 40) -> None:
    ids = platform.lake.read("items")["item_id"]
    context = ValidationContext(as_of=SAMPLED_AT, now=at, item_ids=ids)
    prepared = prepare(sample("interactions", changes, rows=rows), name="interactions", context=context)
    platform.lake.append("quarantine", prepared.quarantined)
    if platform.lake.version("interactions") is None:
        start, end = SAMPLED_AT - timedelta(days=2), SAMPLED_AT
        platform.lake.write_window("interactions", prepared.good, start=start, end=end)


def _release(home: Platform, choice: Choice, **corrections: str) -> Any:
    return release(home, choice, corrections=corrections, by="ann", why="checked by hand", now=NOW)


def _interactions(home: Platform) -> dict[str, dict[str, Any]]:
    rows = home.lake.read("interactions").to_pylist()
    assert len({row["event_id"] for row in rows}) == len(rows)
    return {row["event_id"]: row for row in rows}


def test_rows_are_counted_by_batch_and_reason(home: Platform) -> None:
    assert [(g["batch"], g["reason"], g["rows"], g["released"]) for g in groups(home)] == [
        ("2026-01-11T12:00:00.000000Z", "event_id repeats an earlier row", 1, 0),
        ("2026-01-10T12:00:00.000000Z", "watch_seconds is negative", 2, 0),
        ("2026-01-10T12:00:00.000000Z", "item_id is not in items", 1, 0),
    ]


def test_a_corrected_row_joins_its_day_and_stays_marked_when_it_is_released(home: Platform) -> None:
    before = _interactions(home)
    done = _release(home, Choice(reason="negative"), watch_seconds="4.5")
    assert (done.stored, done.was_there, done.refused, done.unchanged) == (2, 0, {}, 0)
    assert done.days == ("2026-01-09",)
    after = _interactions(home)
    assert after.keys() - before.keys() == {"e37", "e38"}
    assert after["e37"]["watch_seconds"] == 4.5
    assert {name: after[name] for name in before} == before
    assert home.lake.read("quarantine").num_rows == 4
    assert [(g["rows"], g["released"]) for g in groups(home)] == [(1, 0), (2, 2), (1, 0)]
    (line,) = home.releases.audit()
    assert (line.rows, line.outcome, line.corrected, line.by, line.why, line.at) == (
        2,
        "stored",
        "watch_seconds",
        "ann",
        "checked by hand",
        NOW,
    )


def test_nothing_changes_when_a_release_is_repeated_after_it_died_before_its_marks(home: Platform) -> None:
    rows = chosen(home, Choice(event_ids=("e37",)))
    assert rows.num_rows == 1
    _release(home, Choice(event_ids=("e37",)), watch_seconds="4.5")
    version = home.lake.version("interactions")
    again = Platform(home.settings)
    with again.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM quarantine_releases")
    done = _release(again, Choice(event_ids=("e37",)), watch_seconds="4.5")
    assert (done.stored, done.was_there) == (0, 1)
    assert home.lake.version("interactions") == version


def test_a_row_is_kept_back_with_its_new_reason_when_it_fails_again(home: Platform) -> None:
    done = _release(home, Choice(event_ids=("e39",)), item_id="i3", surface="")
    assert done.refused == {"surface is null": 1}
    assert "e39" not in _interactions(home)
    (row,) = chosen(home, Choice(event_ids=("e39",))).to_pylist()
    assert (row["reason"], json.loads(row["row"])["item_id"]) == ("surface is null", "i3")
    (old,) = chosen(home, Choice(reason="not in items", is_released=True)).to_pylist()
    assert old["outcome"] == "quarantined again"
    done = _release(home, Choice(event_ids=("e39",)), surface="live")
    assert done.stored == 1
    assert _interactions(home)["e39"]["surface"] == "live"


def test_a_row_stays_as_it_is_when_it_is_released_without_a_correction(home: Platform) -> None:
    rows = home.lake.read("quarantine").num_rows
    done = _release(home, Choice(reason="negative"))
    assert (done.stored, done.unchanged, done.refused) == (0, 2, {})
    assert home.lake.read("quarantine").num_rows == rows
    assert home.releases.audit() == []


def test_a_row_never_overwrites_another_when_the_lake_has_its_event_id(home: Platform) -> None:
    before = _interactions(home)
    done = _release(home, Choice(batch="2026-01-11"))
    assert done.refused == {"event_id is in the lake with other values": 1}
    assert _interactions(home) == before
    done = _release(home, Choice(batch="2026-03-01"))
    assert (done.unchanged, done.refused) == (1, {})


def test_items_are_released_when_their_label_is_corrected(home: Platform) -> None:
    context = ValidationContext(as_of=SAMPLED_AT, now=FIRST)
    prepared = prepare(sample("items", {5: {"safety": "odd", "item_id": "new"}}), name="items", context=context)
    home.lake.append("quarantine", prepared.quarantined)
    assert _release(home, Choice(table="items"), safety="ok").stored == 1
    assert "new" in home.lake.read("items")["item_id"].to_pylist()


def test_the_door_is_that_of_the_last_batch_when_somebody_named_a_suite(home: Platform, tmp_path: Path) -> None:
    file = tmp_path / "interactions.py"
    file.write_text(
        "from monitoring.expectations.interactions import suite as known\n"
        "from monitoring.row_rules import one_of\nfrom dataclasses import replace\n\n\ndef suite(context):\n"
        "    own = known(context)\n    return replace(own, rows=(*own.rows, one_of('surface', ('live',))))\n"
    )
    held = DataSet(name="d", is_order_only=False, suites=dict(load_suites([file]).files))
    (home.settings.root / "data_set.json").write_text(held.model_dump_json())
    done = _release(home, Choice(event_ids=("e37",)), watch_seconds="1")
    assert done.refused == {"surface is not one of live": 1}
    file.write_text(file.read_text() + "# edited\n")
    with pytest.raises(DataError, match="is not the suite that was used"):
        _release(home, Choice(event_ids=("e38",)), watch_seconds="1")


@pytest.mark.parametrize(
    ("choice", "corrections", "message"),
    [
        (Choice(batch="1999"), {}, "no quarantined row matches"),
        (Choice(reason="negative"), {"watched": "1"}, "interactions has no column 'watched' to correct"),
        (Choice(reason="negative"), {"watch_seconds": "much"}, "'much' is no value of interactions.watch_seconds"),
    ],
    ids=["nothing", "column", "value"],
)
def test_a_release_is_refused_with_its_reason_when_it_cannot_be(
    home: Platform, choice: Choice, corrections: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _release(home, choice, **corrections)


def test_nobody_who_was_erased_comes_back_by_a_correction(home: Platform) -> None:
    home.erasures.begin(user_key("u-gone", home.settings.user_secret()), by="ann", now=NOW)
    with pytest.raises(DataError, match=r"1 of the 1 rows would be about users who were erased.*another user_id"):
        _release(home, Choice(event_ids=("e39",)), item_id="i3", user_id="u-gone")
    assert "e39" not in _interactions(home)
    assert _release(home, Choice(event_ids=("e39",)), item_id="i3", user_id="u-here").stored == 1


def test_rows_of_two_tables_are_refused_when_none_is_chosen(home: Platform) -> None:
    prepared = prepare(sample("items", {5: {"safety": "odd"}}), name="items", context=ValidationContext(as_of=FIRST))
    home.lake.append("quarantine", prepared.quarantined)
    with pytest.raises(DataError, match=r"are of interactions, items\. Choose one table with --table"):
        _release(home, Choice(batch="2026-01-10"))


def test_rows_that_are_no_json_are_listed_and_not_released(home: Platform) -> None:
    odd = {"table": ["interactions"], "reason": ["by hand"], "quarantined_at": [FIRST], "row": ["plain words"]}
    home.lake.append("quarantine", pa.table(odd, schema=schema.QUARANTINE))
    assert "by hand" in {group["reason"] for group in groups(home)}
    with pytest.raises(DataError, match="1 of the quarantined rows are no JSON"):
        _release(home, Choice(reason="by hand"))


@pytest.fixture
def terminal(home: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(home.settings.root))
    return Terminal(capsys, monkeypatch)


def test_commands_list_show_and_release_when_a_person_asks(terminal: Terminal, home: Platform) -> None:
    listed = terminal("quarantine", "list")
    assert "2026-01-10T12:00:00.000000Z interactions: 2 rows: watch_seconds is negative" in listed.err
    shown = terminal("quarantine", "show", "--reason", "negative", "--limit", "1", "--json")
    assert shown.document["matching"] == 2
    assert shown.document["rows"][0]["row"]["watch_seconds"] < 0
    done = terminal(
        *("quarantine", "release", "--event-id", "e37", "--set", "watch_seconds=2", "--because", "typo", "--json")
    )
    assert (done.code, done.document["stored"]) == (0, 1)
    again = terminal("quarantine", "release", "--event-id", "e38", "--because", "as it is")
    assert again.code == 3
    assert "1 kept back: as before" in again.err
    assert "typo" in terminal("quarantine", "list").err
    assert terminal("quarantine", "list", "--json").document["releases"][0]["why"] == "typo"


def test_commands_say_what_to_do_when_they_cannot(terminal: Terminal) -> None:
    assert "choose rows with --batch" in terminal("quarantine", "release", "--because", "x").err
    refused = terminal("quarantine", "release", "--batch", "1999", "--because", "x")
    assert refused.code == 2
    assert "everfeed quarantine list" in refused.err
    wrong = terminal("quarantine", "release", "--batch", "2026", "--set", "surface", "--because", "x")
    assert "not of the form column=value" in wrong.err
