"""The record of one evaluation: what a model reached on a set of queries, kept so that later ones can be compared."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recmodels.data.schema import USER_ID
from recmodels.errors import DataError
from recmodels.evaluation.bootstrap import Interval
from recmodels.evaluation.fairness import Exposure, Fairness, Gap

FORMAT_VERSION: Final = 1
SLICE: Final = "slice"
"""Column of `Evaluation.per_user_slices` that names the slice."""
_SCALARS = (
    "num_users",
    "num_queries",
    "missing_target_share",
    "blocked_shown",
    "non_finite",
    "queries_digest",
    "num_candidates",
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a bundle reached on a set of queries.

    Attributes:
        metrics: Means over users, such as ``"ndcg_at_10"``; coverage and Gini are over all lists together. A metric
            that no user has a value of, such as diversity without any category, is left out.
        intervals: Bootstrap interval over users of every metric that has a value a user.
        per_user: ``user_id`` and one column a metric (mean over the user's queries), sorted by `user_id`.
        slices: Metrics of each slice, such as ``"user=new"``, with its ``num_users`` and ``num_queries``.
        per_user_slices: As `per_user`, with a column `slice` in front, sorted by slice, then `user_id`.
        chance: What a random order of the same candidates reaches on average.
        num_users: Distinct users.
        num_queries: Queries.
        missing_target_share: Share of the targets outside the catalogue of the model: misses, whatever it ranks.
        blocked_shown: Slots that held a blocked item.
        non_finite: Queries answered with a non-finite score.
        recommended_counts: ``(V,)`` how often each item index stood in the first slots, up to the smallest k.
        queries_digest: Hash of users, target times and rules: equal when two evaluations judged the same queries,
            whatever the vocabulary of each model.
        num_candidates: Items of the model's catalogue.
        fairness: Gaps between groups of users, and exposure of groups of items; empty in records of earlier versions.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    per_user: pa.Table
    slices: dict[str, dict[str, float]]
    per_user_slices: pa.Table
    chance: dict[str, float]
    num_users: int
    num_queries: int
    missing_target_share: float
    blocked_shown: int
    non_finite: int
    recommended_counts: NDArray[np.int64]
    queries_digest: str
    num_candidates: int
    fairness: Fairness = field(default_factory=Fairness)

    def per_user_of(self, name: str) -> pa.Table:
        """Return the per-user values of the slice called `name`, in the columns of `per_user`; empty if unknown."""
        rows = self.per_user_slices.filter(pc.equal(self.per_user_slices[SLICE], name))
        return rows.drop_columns([SLICE])

    def save(self, folder: Path) -> None:
        """Write the record into `folder`, which is created; ``evaluation.json`` is written last and by rename."""
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.per_user, folder / "per_user.parquet")
        pq.write_table(self.per_user_slices, folder / "per_user_slices.parquet")
        np.save(folder / "recommended_counts.npy", self.recommended_counts, allow_pickle=False)
        facts: dict[str, Any] = {name: getattr(self, name) for name in _SCALARS}
        facts |= {"format_version": FORMAT_VERSION, "metrics": self.metrics, "slices": self.slices}
        facts |= {
            "fairness": asdict(self.fairness),
            "chance": self.chance,
            "intervals": {name: asdict(i) for name, i in self.intervals.items()},
        }
        temporary = folder / ".evaluation.json"
        temporary.write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(temporary, folder / "evaluation.json")  # noqa: PTH105

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """Read what `save` wrote.

        Raises:
            DataError: A file is missing or damaged, or the record is of another format.
        """
        try:
            facts = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
            per_user = pq.read_table(folder / "per_user.parquet")
            per_user_slices = pq.read_table(folder / "per_user_slices.parquet")
            counts = np.load(folder / "recommended_counts.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"the evaluation in {folder} is missing or damaged ({error}). Evaluate the bundle again."
            ) from error
        version = facts.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise DataError(
                f"the evaluation in {folder} is of format {version!r}, expected {FORMAT_VERSION}. "
                "Evaluate the bundle again with this version."
            )
        intervals = {name: Interval(**ends) for name, ends in facts.pop("intervals").items()}
        fairness = facts.pop("fairness", {})
        assert USER_ID in per_user.column_names
        return cls(
            **facts,
            intervals=intervals,
            per_user=per_user,
            per_user_slices=per_user_slices,
            recommended_counts=counts,
            fairness=_fairness(fairness),
        )


def _fairness(facts: dict[str, Any]) -> Fairness:
    exposure = {name: Exposure(**figures) for name, figures in facts.get("exposure", {}).items()}
    gaps = {kind: Gap(**figures) for kind, figures in facts.get("gaps", {}).items()}
    return Fairness(facts.get("top_k", 0), exposure, gaps)
