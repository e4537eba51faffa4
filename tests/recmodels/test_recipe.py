import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from recmodels.errors import RecipeError
from recmodels.recipe import ModelChoice, Recipe, override, parse_recipe

MINIMAL = {"name": "first", "model": {"name": "popularity"}}


def with_parts(**parts):
    return MINIMAL | parts


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(MINIMAL)


def test_recipe_is_equal_when_it_comes_as_json(recipe):
    assert parse_recipe(json.dumps(MINIMAL)) == recipe
    assert parse_recipe(recipe.model_dump_json()) == recipe
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe


def test_digest_is_equal_when_fields_stand_in_another_order_or_are_defaults(recipe):
    shuffled = {
        "seed": 0,
        "split": {"test_fraction": 0.2, "kind": "time"},
        "model": {"name": "popularity"},
        "name": "first",
    }
    assert parse_recipe(shuffled).digest == recipe.digest
    assert len(recipe.digest) == 64


@pytest.mark.parametrize(
    "setting",
    ["seed=1", "name=second", "trainer.epochs=3", "gate.floor_share=0.4", "refit=true", "model.config.window_days=7"],
)
def test_digest_changes_when_any_field_changes(recipe, setting):
    assert override(recipe, [setting]).digest != recipe.digest


def test_recipe_cannot_change_when_it_is_made(recipe):
    with pytest.raises(ValidationError):
        recipe.seed = 3  # type: ignore[misc]


def test_listing_and_reading_imports_no_torch_when_the_model_is_a_closed_form():
    code = "import sys, recmodels.recipe as r; r.parse_recipe(sys.argv[1]); print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code, json.dumps(MINIMAL)], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, r"name: is required, .*model: is required"),
        ("{'name'", r"recipe: Invalid JSON: .* Give one JSON object"),
        ("[]", r"recipe: Input should be an object, got \[\]\."),
        (with_parts(name="Not A Name"), r"name: .*got 'Not A Name'"),
        (
            with_parts(model={"name": "popularty"}),
            r"model 'popularty' is not known\. Did you mean 'popularity'\? Known: ",
        ),
        (with_parts(model={"name": "popularity", "config": {"days": 3}}), r"field 'days' is not known.*window_days"),
        (with_parts(model={"name": "popularity", "config": {"window_days": -1}}), r"window_days: .*greater than 0"),
        (
            with_parts(trainer={"epoch": 3}),
            r"trainer\.epoch: no such field\. Did you mean 'epochs'\? Known: averaging, batch_size",
        ),
        (with_parts(trainers={}), r"trainers: no such field\. Did you mean 'trainer'\? Known: adaptation, data"),
        (with_parts(trainer={"epochs": 0}), r"trainer\.epochs: .*greater than or equal to 1, got 0"),
        (with_parts(trainer={"learning_rate": float("nan")}), r"trainer\.learning_rate: .*finite"),
        (with_parts(split={"validation_fraction": 0.5, "test_fraction": 0.5}), "must be below 1, or nothing is left"),
        (with_parts(split={"test_from": "2026-01-01"}), "split: give both validation_from and test_from, or neither"),
        (
            with_parts(split={"validation_from": "2026-02-01", "test_from": "2026-02-01T00:00:00Z"}),
            "validation_from must be before test_from",
        ),
        (with_parts(evaluation={"top_ks": []}), r"evaluation\.top_ks: .*at least 1 item"),
        (with_parts(evaluation={"top_ks": [0]}), r"evaluation\.top_ks\.0: .*greater than or equal to 1, got 0"),
        (
            with_parts(evaluation={"top_ks": [20]}),
            r"the gate reads ndcg_at_10 and coverage_at_10, but .* lists of 20 only",
        ),
        (with_parts(gate={"metric": "ndcg_at_20"}), r"the gate reads ndcg_at_20, but .* lists of 10, 50 only"),
    ],
)
def test_recipe_is_refused_when_a_field_is_wrong(value, words):
    with pytest.raises(RecipeError, match=words):
        parse_recipe(value)


def test_every_problem_is_named_when_there_are_several():
    with pytest.raises(RecipeError) as caught:
        parse_recipe(with_parts(seed=-1, trainer={"epochs": 0}, data={"label": "loved"}))
    assert all(place in str(caught.value) for place in ("seed:", "trainer.epochs:", "data.label:"))


def test_gate_may_read_another_length_when_it_is_measured():
    gate = {"metric": "recall_at_20", "coverage_at": 20}
    assert parse_recipe(with_parts(evaluation={"top_ks": [20]}, gate=gate)).gate.metric == "recall_at_20"


def test_moments_are_utc_when_no_time_zone_is_given():
    split = {"validation_from": "2026-01-01", "test_from": "2026-02-01T02:00:00+02:00"}
    found = parse_recipe(with_parts(split=split)).split
    assert found.validation_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert found.test_from == datetime(2026, 2, 1, tzinfo=UTC)
    same = {"validation_from": "2026-01-01T00:00:00Z", "test_from": "2026-02-01"}
    assert parse_recipe(with_parts(split=same)).digest == parse_recipe(with_parts(split=split)).digest


def test_overrides_apply_in_order_when_several_are_given(recipe):
    found = override(recipe, ["trainer.epochs=3", "trainer.epochs=4", "evaluation.top_ks=[10,20]", "name=other"])
    assert found.trainer.epochs == 4
    assert found.evaluation.top_ks == (10, 20)
    assert found.name == "other"
    assert recipe.trainer.epochs == 50


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trainer.epochs", r"override 'trainer\.epochs' is not of the form path=value, such as trainer\.epochs=3"),
        ("=3", "is not of the form path=value"),
        (
            "training.epochs=3",
            r"has no section 'training'\. Sections: adaptation, data, evaluation, gate, model, reranking, retrieval",
        ),
        ("name.first=3", "has no section 'name'"),
        ("trainer.epoch=3", r"trainer\.epoch: no such field\. Did you mean 'epochs'"),
        ("trainer.epochs=many", r"trainer\.epochs: .*integer, got 'many'"),
        ("trainer=3", r"trainer: .*got 3"),
        ("trainer.learning_rate=NaN", r"trainer\.learning_rate: .*finite"),
        ("model.name=nothing", "model 'nothing' is not known"),
    ],
)
def test_override_is_refused_when_it_makes_no_valid_recipe(recipe, setting, words):
    with pytest.raises(RecipeError, match=words):
        override(recipe, [setting])


def test_spelled_out_defaults_do_not_make_another_recipe():
    short = Recipe(name="a", model=ModelChoice(name="item_knn"))
    spelled = Recipe(name="a", model=ModelChoice(name="item_knn", config=dict(short.model.config)))
    assert short.model.config != {}
    assert short.digest == spelled.digest
    assert short.digest != Recipe(name="a", model=ModelChoice(name="item_knn", config={"neighbours": 7})).digest


def test_how_items_are_searched_makes_another_recipe_when_it_differs(recipe):
    other = override(recipe, ["retrieval.kind=exact"])
    assert (recipe.retrieval.kind, other.retrieval.kind) == ("auto", "exact")
    assert other.digest != recipe.digest


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("retrieval.ef=3", r"retrieval\.ef: no such field\. .*Known: ef_construction, ef_search"),
        ("retrieval.kind=annoy", "retrieval.kind: "),
        ("retrieval.recall_floor=1.5", "retrieval.recall_floor: "),
        ("retrieval.hnsw_m=2", "retrieval.hnsw_m: "),
    ],
)
def test_a_search_is_refused_when_a_field_is_unknown_or_out_of_range(recipe, setting, words):
    with pytest.raises(RecipeError, match=words):
        override(recipe, [setting])
