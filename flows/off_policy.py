"""A log of explored slots, from a file -> what a challenger would have earned, by three estimators, or why not."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitoring.canary.off_policy import (
    Estimate,
    LoggedSlots,
    OffPolicyConfig,
    Predictions,
    Refusal,
    doubly_robust,
    exploration,
    ips,
    snips,
)
from recmodels.data.schema import PROPENSITY, USER_KEY
from recmodels.errors import DataError

REWARD = "reward"
CHALLENGER = "challenger_probability"
UNSUPPORTED = "unsupported"
PREDICTED = "predicted_reward"
PREDICTED_CHALLENGER = "predicted_challenger_reward"
_REQUIRED = (USER_KEY, PROPENSITY, REWARD, CHALLENGER)


def estimate_file(path: Path, *, config: OffPolicyConfig | None = None) -> dict[str, Any]:
    """Estimate a challenger's reward per slot from a Parquet or CSV file of logged slots.

    A row is a slot: ``user_key``, ``propensity``, ``reward`` and ``challenger_probability``; ``unsupported`` where it
    is known, and ``predicted_reward`` with ``predicted_challenger_reward`` for doubly robust. Slots of propensity 1
    are left out and counted.

    Raises:
        DataError: The file cannot be read, lacks a column, or holds a value that cannot be.
    """
    table = _read(path)
    try:
        log = _log(table)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    is_explored = log.propensities < 1
    explored = exploration(log)
    answers = {"ips": ips(explored, config=config), "snips": snips(explored, config=config)}
    if PREDICTED in table.column_names and PREDICTED_CHALLENGER in table.column_names:
        shown, expected = (_column(table, name)[is_explored] for name in (PREDICTED, PREDICTED_CHALLENGER))
        answers["doubly_robust"] = doubly_robust(explored, Predictions(shown, expected), config=config)
    return {
        "slots": len(log),
        "deterministic": len(log) - len(explored),
        "estimates": {name: _document(answer) for name, answer in answers.items()},
    }


def _read(path: Path) -> pa.Table:
    try:
        table = csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet or CSV ({error}). Give a file of logged slots.") from error
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(table.column_names)}. A row is a slot with "
            f"{', '.join(_REQUIRED)}."
        )
    return table


def _log(table: pa.Table) -> LoggedSlots:
    return LoggedSlots(
        users=np.array(table[USER_KEY].cast(pa.string()).to_pylist(), dtype=np.str_),
        rewards=_column(table, REWARD),
        propensities=_column(table, PROPENSITY),
        challenger=_column(table, CHALLENGER),
        unsupported=_column(table, UNSUPPORTED) if UNSUPPORTED in table.column_names else None,
    )


def _column(table: pa.Table, name: str) -> NDArray[np.float64]:
    try:
        column: NDArray[np.float64] = table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} is no number ({error}); mend the log.") from error
    return column


def _document(answer: Estimate | Refusal) -> dict[str, Any]:
    return {**asdict(answer), "words": answer.words, "is_refused": isinstance(answer, Refusal)}
