"""Reports of what was served: kept in one project, at one time, without a user or a raw item."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from monitoring.drift._vectors import Anchors
from monitoring.drift.served import Served
from monitoring.drift.served_report import _ranking, add_embedding_report, add_served_report
from monitoring.drift.workspace import Label
from recmodels.errors import DataError
from tests.monitoring.drift.served_tables import START_DAY, serve

AS_OF = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=START_DAY + 20)
LABEL = Label(AS_OF, "7")


def served(*, days: int = 20) -> Served:
    vectors = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    anchors = Anchors(np.array([f"i{number}" for number in range(60)]), vectors)
    return Served(*serve(days=days, lists=30), as_of=AS_OF, anchors=anchors)


@pytest.mark.long
def test_runs_line_up_in_one_project_when_they_are_of_one_time(tmp_path):
    projects = {add_served_report(served(), tmp_path, LABEL), add_embedding_report(served(), tmp_path, LABEL)}
    assert len(projects) == 1
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("*/snapshots/*.json")]
    assert {run["name"] for run in runs} == {
        "served lists",
        "ranking of served lists",
        "embeddings of served items",
    }
    assert {datetime.fromisoformat(run["timestamp"]) for run in runs} == {AS_OF}
    assert all("model version 7" in run["tags"] for run in runs)
    text = json.dumps(runs)
    assert '"u1"' not in text
    assert '"i1"' not in text


def test_ranking_is_by_position_when_lists_have_clicks():
    frame = pd.DataFrame({"request_id": [0, 0, 0, 1, 1], "position": [0, 1, 2, 0, 1], "relevant": [0, 1, 1, 0, 0]})
    rated = _ranking(frame)
    gain = 1 / np.log2(3) + 1 / 2
    assert rated["hit"].tolist() == [1.0, 0.0]
    assert rated["mrr"].tolist() == [1 / 2, 0.0]
    assert rated["ndcg_shown"].tolist() == pytest.approx([gain / (1 + 1 / np.log2(3)), 0.0])


@pytest.mark.parametrize("add", [add_served_report, add_embedding_report])
def test_error_says_what_is_missing_when_a_window_is_too_small(tmp_path, add):
    with pytest.raises(DataError, match="at least 20"):
        add(
            Served(*(table.slice(0, 0) for table in serve(days=1)), as_of=AS_OF, anchors=served().anchors),
            tmp_path,
            LABEL,
        )
    assert not list(tmp_path.iterdir())
