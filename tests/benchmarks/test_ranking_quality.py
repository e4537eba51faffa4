"""Rankers are tuned, kept, not repeated, put together of their parts and told."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks import ranking_data, ranking_quality
from benchmarks.ranking_judged import rankers
from benchmarks.ranking_runs import chosen_trial
from benchmarks.ranking_variants import SPACE, VARIANTS, restrict, settings_of, trainer_of
from recmodels.data.sources import SOURCES
from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.feature_config import FeatureConfig
from recmodels.ranking.parts import RankingCuts
from tests.recmodels.ranking.exposures import SPEC, exposures


def test_every_trial_is_a_network_and_a_trainer_for_every_variant():
    assert settings_of(0) == {name: values[0] for name, values in SPACE.items()}
    assert settings_of(3) == settings_of(3)
    for trial in range(10):
        settings = settings_of(trial)
        assert trainer_of(settings).batch_size == settings["batch_size"]
        for variant in VARIANTS.values():
            config = variant.network(settings)
            assert isinstance(config, NetworkConfig)
            assert config.backbone_config["dropout"] == config.multi_task_config["dropout"] == settings["dropout"]


def test_parts_are_rows_of_a_tab_or_labels_of_a_task():
    rows = exposures(60)
    tab = restrict(rows, "live", "surface")
    assert set(tab.surfaces.tolist()) == {SPEC.surfaces.index("live")}
    task = restrict(rows, SPEC.tasks[1], "task")
    assert task.spec.tasks == (SPEC.tasks[1],)
    np.testing.assert_array_equal(task.labels[:, 0], rows.labels[:, 1])
    watch = restrict(rows, "watch", "task")
    assert watch.labels.shape == (60, 1)
    assert not watch.labels.any()
    assert VARIANTS["single_task"].parts(rows) == (*SPEC.tasks, "watch")


def test_the_best_trial_of_the_validation_part_is_chosen_and_the_earlier_of_equals(tmp_path):
    for trial, value in enumerate((0.5, 0.7, 0.7)):
        folder = tmp_path / "kuairand" / "pepnet" / "all" / f"trial-{trial}-seed-0"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"trial": trial, "validation": value}))
    assert chosen_trial(tmp_path, "kuairand", "pepnet", part=None, seed=0) == 1
    with pytest.raises(SystemExit, match="Run the variant 'mmoe' first"):
        chosen_trial(tmp_path, "kuairand", "mmoe", part=None, seed=0)


@pytest.mark.slow
def test_variants_are_trained_once_and_told_in_tables(tmp_path, capsys, monkeypatch):
    small = ranking_data.RankingData(
        lambda _: SOURCES.get("synthetic")(None, users=250, items=200, creators=30, days=12),
        RankingCuts(datetime(2024, 1, 7, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC)),
        FeatureConfig(history_label="any", max_history=5, minimum_surface_rows=100),
    )
    monkeypatch.setattr(ranking_data, "DATA", {"synthetic": small})
    run = ["run", str(tmp_path), "--out", str(tmp_path), "--data", "synthetic"]
    assert ranking_quality.main([*run, "--variants", "pepnet", "one_model_a_tab", "--trials", "2"]) == 0
    assert ranking_quality.main([*run, "--variants", "single_task", "--like", "pepnet"]) == 0
    told = capsys.readouterr().out
    assert told.count("CPU-s") == 2 + 2 * 3 + 8
    assert ranking_quality.main([*run, "--variants", "pepnet", "one_model_a_tab", "--trials", "2"]) == 0
    assert "CPU-s" not in capsys.readouterr().out

    parts = ranking_data.read_parts("synthetic", tmp_path)
    whole, tabs, tasks = rankers(tmp_path, "synthetic", parts)
    assert [one.variant for one in (whole, tabs, tasks)] == ["pepnet", "one_model_a_tab", "single_task"]
    assert [len(one.trainings) for one in (whole, tabs, tasks)] == [1, 3, 8]
    for one in (whole, tabs, tasks):
        assert np.isfinite(one.predictions.watch).all()
    same = whole.mean_gauc(by_surface=False, minimum_users=100)
    assert 0.4 < same < 1

    keep = tmp_path / "kept.json"
    assert (
        ranking_quality.main(
            ["table", str(tmp_path), "--out", str(tmp_path), "--data", "synthetic", "--keep", str(keep)]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert f"{same:.4f}" in told
    kept = json.loads(keep.read_text())["synthetic"]
    assert len(kept["trainings"]) == 2 + 2 * 3 + 8
    assert kept["rankers"][0]["mean_gauc"]["one_model_a_tab"]["by_tab"]["cells"]
