"""What a training starts from, by table: every way to a parent, and every way from scratch with its words."""

from datetime import UTC, datetime, timedelta

import pytest

from recmodels.errors import RecipeError
from recmodels.lineage import WEIGHTS, Origin, WarmStartReport, origin_of, unless_too_late
from recmodels.manifest import Manifest
from recmodels.recipe import override, parse_recipe
from tests.recmodels.worlds import CUTOFF, a_recipe

WARM = override(a_recipe("sasrec"), ["warm_start.enabled=true"])
CHAMPION, GRANDPARENT = "c" * 64, "9" * 64
REPORT = WarmStartReport(
    parent=GRANDPARENT, since=CUTOFF, items_carried=1500, items_new=80, items_without_neighbours=2, items_dropped=3
)


def a_manifest(**fields):
    known = {
        "format_version": 3,
        "model": "sasrec",
        "scorer": "encoder",
        "recipe": {},
        "recipe_digest": "r",
        "snapshot": "yesterday",
        "trained_until": CUTOFF,
        "metrics": {},
        "num_items": 3,
        "files": {WEIGHTS: "sha"},
    }
    return Manifest(**(known | fields))


def origin(recipe=WARM, champion=None, *, snapshot="today"):
    return origin_of(recipe, snapshot=snapshot, champion=champion, digest=CHAMPION if champion else "")


def test_training_goes_on_from_the_champion_when_it_has_weights_of_the_model():
    assert origin(champion=a_manifest()) == Origin(CHAMPION, f"from the champion {'c' * 12}")


@pytest.mark.parametrize(
    ("champion", "words"),
    [
        (None, "there is no champion yet"),
        (a_manifest(model="ease"), "the champion cccccccccccc is of the model 'ease', not 'sasrec'"),
        (a_manifest(files={}), "the bundle of the champion cccccccccccc holds no trained weights"),
        (a_manifest(snapshot="today"), "the champion cccccccccccc has learned from this very data"),
    ],
)
def test_training_starts_from_scratch_and_says_why_when_there_is_nothing_to_go_on_from(champion, words):
    assert origin(champion=champion) == Origin("", f"from scratch: {words}")


def test_the_same_parent_is_taken_again_when_the_champion_came_of_it_on_this_very_data():
    assert origin(champion=a_manifest(snapshot="today", warm_start=REPORT)).parent == GRANDPARENT


@pytest.mark.parametrize("model", ["ease", "popularity", "item_knn"])
def test_a_closed_form_is_told_plainly_when_a_warm_start_is_asked_for(model):
    recipe = override(a_recipe(model), ["warm_start.enabled=true"])
    found = origin(recipe, a_manifest(model=model))
    assert found == Origin(
        "", f"from scratch: {model} is computed from all data in one go, and a warm start means nothing to it"
    )


def test_nothing_is_said_when_no_warm_start_is_asked_for():
    assert origin(a_recipe("sasrec"), a_manifest()) == Origin("", "")


@pytest.mark.parametrize(("days", "parent"), [(-1, ""), (0, ""), (1, CHAMPION)])
def test_a_parent_that_saw_what_judges_the_model_is_left_when_the_cutoff_is_not_later(days, parent):
    known = Origin(CHAMPION, "from the champion")
    found = unless_too_late(known, a_manifest(), train_until=CUTOFF + timedelta(days=days))
    assert found.parent == parent
    assert ("what follows is to judge the model" in found.words) == (parent == "")


def test_a_report_counts_items_in_words():
    since = datetime(2025, 3, 1, tzinfo=UTC)
    assert REPORT.model_copy(update={"since": since}).words == (
        "warm start from 999999999999 (events before 2025-03-01 00:00 UTC): 1,500 items carried over, 80 new "
        "(2 of them at the mean of all), 3 dropped"
    )


def test_a_recipe_is_refused_when_it_cannot_tell_what_is_new():
    with pytest.raises(RecipeError, match=r"set split.kind to 'time' or warm_start.enabled to false"):
        override(WARM, ["split.kind=leave_one_out"])


@pytest.mark.parametrize(
    "field", ["epochs=0", "learning_rate_factor=0", "learning_rate_factor=1.5", "replay_share=1.1"]
)
def test_a_field_is_refused_when_it_is_out_of_its_range(field):
    with pytest.raises(RecipeError, match=f"warm_start.{field.partition('=')[0]}"):
        override(WARM, [f"warm_start.{field}"])


def test_a_recipe_of_before_reads_the_same_when_it_knows_no_warm_start():
    assert not parse_recipe({"name": "a", "model": {"name": "sasrec"}}).warm_start.enabled
