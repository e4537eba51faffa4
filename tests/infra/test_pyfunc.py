"""A bundle as an MLflow model: MLflow's own command gives the lists that the ranker gives, from files of rows."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from infra.database import open_database
from infra.events import user_key
from infra.histories import HistoryEvent, HistoryStore
from infra.pyfunc import write_pyfunc
from infra.settings import Settings
from recmodels.bundle import load_bundle
from recmodels.errors import BundleError, StoreError
from recmodels.ranker import Ranker
from tests.architecture.sources import ROOT
from tests.infra.gateway_home import NOW, next_item_scorer, write


def test_a_folder_that_is_there_and_a_bundle_that_was_altered_are_refused(tmp_path: Path) -> None:
    digest = write(tmp_path / "bundles", next_item_scorer(), name="next")
    with pytest.raises(StoreError, match="is there already and is not written over"):
        write_pyfunc(tmp_path / "bundles", digest, tmp_path, requirement="everfeed")
    (tmp_path / "bundles" / digest / "manifest.json").write_text("{}")
    with pytest.raises(BundleError):
        write_pyfunc(tmp_path / "bundles", digest, tmp_path / "out", requirement="everfeed")
    assert not (tmp_path / "out").exists()


def _predict(model: Path, rows: Path, kind: str, home: Path) -> list[dict[str, object]]:
    ended = subprocess.run(
        (
            *(sys.executable, "-m", "mlflow", "models", "predict", "--env-manager", "local"),
            *("-m", str(model), "-i", str(rows), "-t", kind, "-o", str(rows.with_suffix(".out"))),
        ),
        env={**os.environ, "PYTHONPATH": str(ROOT), "EVERFEED_HOME": str(home)},
        cwd=rows.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return list(json.loads(rows.with_suffix(".out").read_text())["predictions"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow looks at types that it does not use here
def test_the_command_of_mlflow_answers_histories_and_users_as_the_ranker_does(tmp_path: Path) -> None:
    digest = write(tmp_path / "bundles", next_item_scorer(), name="next")
    model = write_pyfunc(tmp_path / "bundles", digest, tmp_path / "model", requirement="everfeed")
    assert not [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle")]
    ranker = Ranker(load_bundle(tmp_path / "bundles", digest))
    settings = Settings(home=tmp_path / "home")
    settings.root.mkdir()
    database = open_database(settings.database)
    key = user_key("ann", settings.user_secret())
    events = [
        HistoryEvent(key, item, NOW + timedelta(hours=n), "video") for n, item in enumerate(["film-06", "film-09"])
    ]
    HistoryStore(database).append(events)
    database.close()
    (tmp_path / "rows.csv").write_text("history,user_id,k\nfilm-04 film-20,,3\n,ann,2\n")
    by_csv = _predict(model, tmp_path / "rows.csv", "csv", settings.root)
    first = ranker.recommend(["film-04", "film-20"], k=3)
    second = ranker.recommend(["film-06", "film-09"], k=2)
    assert [row["item_ids"] for row in by_csv] == [list(first.item_ids), list(second.item_ids)]
    assert [row["scores"] for row in by_csv] == [list(first.scores), list(second.scores)]
    records = {"dataframe_records": [{"history": ["film-04", "film-20"]}]}
    (tmp_path / "rows.json").write_text(json.dumps(records))
    (by_json,) = _predict(model, tmp_path / "rows.json", "json", settings.root)
    assert by_json["item_ids"] == list(ranker.recommend(["film-04", "film-20"], k=10).item_ids)
