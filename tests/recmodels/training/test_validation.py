from dataclasses import replace

import pytest

from recmodels.bundle import load_bundle
from recmodels.evaluation.evaluator import evaluate
from recmodels.ranker import Ranker
from recmodels.recipe import EvaluationConfig
from recmodels.training import validation as validation_module
from recmodels.training.trainer import train
from recmodels.training.validation import Validation
from tests.recmodels.worlds import a_recipe, circles_split, write_trained


@pytest.fixture(scope="module")
def split():
    return circles_split()


@pytest.mark.parametrize("remove_seen", [True, False])
def test_metrics_are_those_of_the_evaluator_when_the_bundle_is_asked_the_same_queries(split, tmp_path, remove_seen):
    recipe = a_recipe("item_knn")
    recipe = recipe.model_copy(update={"evaluation": EvaluationConfig(remove_seen=remove_seen, bootstrap_samples=100)})
    trained = train(recipe, split, checkpoint_folder=None, seed=0)
    bundle = load_bundle(tmp_path, write_trained(tmp_path, trained, recipe=recipe, split=split))
    judged = evaluate(Ranker(bundle), split.validation, config=recipe.evaluation, seed=0)
    assert trained.metrics["ndcg_at_10"] == pytest.approx(judged.metrics["ndcg_at_10"], rel=1e-12)
    assert trained.metrics["recall_at_10"] == pytest.approx(judged.metrics["recall_at_10"], rel=1e-12)


def test_the_same_queries_are_chosen_when_there_are_more_than_are_asked(split, monkeypatch):
    monkeypatch.setattr(validation_module, "_MOST_QUERIES", 20)
    scorer = train(a_recipe("item_knn"), split, checkpoint_folder=None, seed=0).scorer
    one, again, other = (Validation(split, remove_seen=True, seed=seed).measure(scorer) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_blocked_items_are_not_counted_when_they_would_be_right(split):
    safety = split.items.schema.get_field_index("safety")
    blocked = split.items.set_column(safety, split.items.schema.field(safety), [["blocked"] * len(split.items)])
    scorer = train(a_recipe("item_knn"), split, checkpoint_folder=None, seed=0).scorer
    assert Validation(split, remove_seen=True, seed=0).measure(scorer).recall_at_10 > 0
    measured = Validation(replace(split, items=blocked), remove_seen=True, seed=0).measure(scorer)
    assert (measured.ndcg_at_10, measured.recall_at_10) == (0, 0)
