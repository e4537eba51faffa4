"""`everfeed compare`: two models of a home by any of their names, and refusals that say what differs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.references import Candidate
from flows.wiring import connect
from recmodels.evaluation.comparison import compare
from recmodels.evaluation.fairness import OWN_METRICS
from recmodels.evaluation.record import Evaluation
from tests.flows.commands import Terminal
from tests.flows.homes import Lived, at_home


@pytest.fixture
def everfeed(
    lived: Lived, mlflow_template: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    with at_home(lived.settings.root, lived.settings, mlflow=mlflow_template):
        yield Terminal(capsys, monkeypatch)


def candidate(lived: Lived, name: str) -> Candidate:
    return next(one for one in lived.first.candidates if one.recipe.name == name)


def test_verdict_is_that_of_the_kept_evaluations_when_names_are_roles(everfeed: Terminal, lived: Lived) -> None:
    challenger, champion = lived.first.release.challenger, candidate(lived, "popularity")
    assert challenger is not None
    ended = everfeed("compare", "challenger", "champion", "--json")
    assert ended.code == 0
    found = ended.document
    expected = compare(
        Evaluation.load(challenger.evaluation),
        Evaluation.load(champion.evaluation),
        metric="ndcg_at_10",
        samples=1000,
        confidence=0.95,
        seed=0,
    )
    figures = found["metrics"]["ndcg_at_10"]
    assert found["verdict"] == figures["verdict"] == expected.verdict
    assert [figures[name] for name in ("difference", "lower", "upper")] == pytest.approx(
        [expected.difference, expected.lower, expected.upper]
    )
    assert figures["num_users"] == expected.num_users
    assert set(figures["slices"]) == set(expected.slices)
    assert {"recall_at_10", "mrr_at_50", "novelty_at_10"} <= set(found["metrics"])
    of_all_lists = {name for name in found["without_interval"] if not name.startswith(OWN_METRICS)}
    assert of_all_lists == {f"{name}_at_{k}" for name in ("coverage", "gini") for k in (10, 50)}
    assert challenger.recipe.name in found["candidate"]
    assert Path(found["plot"]).parent == lived.settings.reports / "comparisons"
    assert Path(found["plot"]).read_bytes().startswith(b"\x89PNG")


def test_every_name_of_a_model_gives_the_same_model(everfeed: Terminal, lived: Lived) -> None:
    first = candidate(lived, "popularity")
    names = ("champion", "1", "v1", first.run_id, first.digest, first.digest[:12])
    found = [everfeed("compare", name, "challenger", "--json").document["metrics"] for name in names]
    assert found == [found[0]] * len(names)


def test_a_model_cannot_be_told_apart_from_itself(everfeed: Terminal) -> None:
    ended = everfeed("compare", "champion", "1", "--metric", "recall_at_10")
    assert ended.code == 0
    first = ended.err.splitlines()[0]
    assert "cannot be told apart from popularity" in first
    assert "recall_at_10" in first
    assert "+0.0000 (+0.0%), 95.0% interval +0.0000 to +0.0000" in first
    assert "user=new: not distinguishable: recall_at_10" in ended.err


def test_both_are_measured_again_when_it_is_asked_for(everfeed: Terminal) -> None:
    kept = everfeed("compare", "challenger", "champion", "--json").document
    anew = everfeed("compare", "challenger", "champion", "--anew", "--json").document
    assert anew["metrics"]["ndcg_at_10"] == kept["metrics"]["ndcg_at_10"]


def test_what_differs_is_said_when_the_queries_are_not_the_same(everfeed: Terminal, lived: Lived) -> None:
    tracker, other = connect(lived.settings).tracker, candidate(lived, "item_knn")
    folder = lived.settings.root / "changed"
    Evaluation.load(other.evaluation).save(folder)
    facts = json.loads((folder / "evaluation.json").read_text())
    (folder / "evaluation.json").write_text(json.dumps(facts | {"queries_digest": "others"}))
    recipe = other.recipe.model_dump(mode="json")
    recipe["data"]["label"] = "liked"
    run = tracker.lifecycle_run("of other data", name="other", tags={"snapshot": "5eed" * 16})
    tracker.log_text(run, json.dumps(recipe), file="recipe.json")
    tracker.log_folder(run, folder, folder="evaluation")
    tracker.finish(run)
    ended = everfeed("compare", run, "champion")
    tracker.client.delete_run(run)
    assert ended.code == 2
    for words in (
        "not judged on the same queries",
        "snapshot 5eed5eed5eed",
        "label is 'liked' against 'any'",
        "--anew",
    ):
        assert words in ended.last_line


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("best", "'best' is no name of a model"),
        ("99", "version 99 is not known, or its run was deleted. Known versions: 1, 2"),
        ("0123456789abcdef", "no run and no bundle of this home is called '0123456789abcdef'"),
    ],
)
def test_what_may_be_named_is_said_when_a_name_means_nothing(everfeed: Terminal, name: str, words: str) -> None:
    ended = everfeed("compare", name, "champion")
    assert ended.code == 2
    assert words in ended.last_line
    assert "Give a version such as 3" in ended.last_line


def test_the_run_of_a_lifecycle_is_refused_since_it_keeps_no_evaluation(everfeed: Terminal, lived: Lived) -> None:
    ended = everfeed("compare", lived.first.candidates[0].parent_id, "champion")
    assert ended.code == 2
    assert "keeps no evaluation" in ended.last_line


def test_metrics_are_named_when_the_one_asked_for_is_not_kept(everfeed: Terminal) -> None:
    ended = everfeed("compare", "challenger", "champion", "--metric", "coverage_at_10")
    assert ended.code == 2
    assert "Known: recall_at_10" in ended.last_line
