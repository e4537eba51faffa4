"""Trains the second stage of a bundle on the very cuts of its first: features, network, calibration, export.

Features are fitted and weights learned before `Split.train_until`; the validation part ends training and calibrates.
Both see the counts that the bundle carries, those at the end of the training part, as the gateway will.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import TIMESTAMP, Tables
from recmodels.data.splits import Split
from recmodels.errors import SplitError
from recmodels.evaluation.ranking_metrics import auc
from recmodels.ranking.calibration import Calibration
from recmodels.ranking.choice import RankingChoice
from recmodels.ranking.examples import Examples
from recmodels.ranking.export import export_ranker
from recmodels.ranking.fitting import fit_features
from recmodels.ranking.model import RankingModel
from recmodels.ranking.predictions import log_loss
from recmodels.ranking.training import train_ranker

_PROBES = 64


@dataclass(frozen=True, eq=False)
class TrainedStage:
    """A second stage, and how it did on the validation part.

    Attributes:
        model: What goes into the bundle.
        metrics: ``ranking_log_loss`` and ``ranking_auc_<task>`` of the validation part, before calibration.
        epochs: How many were trained.
    """

    model: RankingModel
    metrics: dict[str, float]
    epochs: int


def train_stage(choice: RankingChoice, tables: Tables, split: Split, *, seed: int) -> TrainedStage:
    """Train what a recipe asks for.

    Args:
        choice: The recipe's.
        tables: Exposures with and without feedback, items and users, from which the split was made.
        split: Its vocabulary and its cuts hold for the ranker, too.
        seed: The same one gives the same ranker on one machine.

    Raises:
        SplitError: The timestamps are positions, or a part is without exposures.
        DataError: There is no feedback to learn from, or a named attribute does not exist.
        TrainingError: A loss is not finite.
        ValueError: The utility gives a weight to what the ranker would not predict.
    """
    if tables.is_order_only:
        raise SplitError(f"{tables.name} knows only the order of events; a ranker needs times. Set ranking to null.")
    builder = fit_features(tables, until=split.train_until, config=choice.features, vocabulary=split.vocabulary)
    choice.utility.check(builder.spec.tasks, has_watch=choice.network.watch_time is not None)
    known = replace(tables, interactions=_before(tables.interactions, split))
    whole = builder.examples(known, frozen_from=split.train_until)
    edge = int(np.searchsorted(whole.timestamps, as_microseconds(split.train_until)))
    train, validation = whole.take(np.arange(edge)), whole.take(np.arange(edge, len(whole)))
    found = train_ranker(choice.network, train, validation, trainer=choice.trainer, seed=seed)
    calibration = Calibration.fit(validation, found.validation.logits) if choice.is_calibrated else None
    scorer = export_ranker(found.network, validation.take(_spread(validation)), calibration=calibration)
    chances = found.validation.probabilities
    metrics = {"ranking_log_loss": log_loss(validation.labels, chances)}
    for column, task in enumerate(builder.spec.tasks):
        metrics[f"ranking_auc_{task}"] = auc(validation.labels[:, column], chances[:, column])
    finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
    return TrainedStage(RankingModel(builder.state, scorer), finite, len(found.curve))


def _before(interactions: pa.Table, split: Split) -> pa.Table:
    moments = interactions[TIMESTAMP]
    return interactions.filter(pc.less(moments, pa.scalar(split.validation_until, moments.type)))


def _spread(validation: Examples) -> NDArray[np.int64]:
    rows = np.linspace(0, len(validation) - 1, min(_PROBES, len(validation)))
    return rows.astype(np.int64)
