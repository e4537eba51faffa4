import json

import numpy as np
import pytest

from recmodels.errors import DataError
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.record import Evaluation
from recmodels.recipe import EvaluationConfig


def test_record_is_equal_when_it_is_saved_and_loaded(make_ranker, queries, tmp_path):
    made = evaluate(make_ranker((6, 5, 4, 3, 2, 1)), queries, config=EvaluationConfig(), seed=0)
    made.save(tmp_path / "champion")
    read = Evaluation.load(tmp_path / "champion")
    assert read.metrics == made.metrics
    assert read.intervals == made.intervals
    assert read.slices == made.slices
    assert read.chance == made.chance
    assert read.per_user.to_pandas().equals(made.per_user.to_pandas()), "NaN is NaN"
    assert read.per_user_slices.to_pandas().equals(made.per_user_slices.to_pandas())
    assert np.array_equal(read.recommended_counts, made.recommended_counts)
    assert read.queries_digest == made.queries_digest
    assert (read.num_users, read.num_queries, read.missing_target_share) == (2, 3, 1 / 5)


def test_saving_again_replaces_when_the_folder_exists(make_evaluation, tmp_path):
    make_evaluation([0.1]).save(tmp_path)
    make_evaluation([0.3]).save(tmp_path)
    assert Evaluation.load(tmp_path).metrics["ndcg_at_10"] == 0.3


@pytest.mark.parametrize("name", ["evaluation.json", "per_user.parquet", "recommended_counts.npy"])
def test_loading_is_refused_when_a_file_is_damaged(make_evaluation, tmp_path, name):
    make_evaluation().save(tmp_path)
    (tmp_path / name).write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"missing or damaged .*Evaluate the bundle again"):
        Evaluation.load(tmp_path)


def test_loading_is_refused_when_nothing_was_saved(tmp_path):
    with pytest.raises(DataError, match="missing or damaged"):
        Evaluation.load(tmp_path / "nowhere")


def test_loading_is_refused_when_the_format_is_newer(make_evaluation, tmp_path):
    make_evaluation().save(tmp_path)
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(DataError, match="format 99, expected 1"):
        Evaluation.load(tmp_path)
