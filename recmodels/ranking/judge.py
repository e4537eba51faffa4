"""What showing each candidate would be worth: the second stage, for one request or for many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.cuts import as_microseconds
from recmodels.data.histories import Histories
from recmodels.data.schema import ITEM_ID
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN
from recmodels.ranking.requests import Asked, RequestFeatures, together
from recmodels.retrieval.newcomers import Newcomers


@dataclass(frozen=True, slots=True)
class Moment:
    """What a request tells beside its history.

    Attributes:
        now: Microseconds; None for just after the history's last event, or where that has no time for the moment
            until which the bundle was trained.
        has_times: The history's timestamps are times.
        surface: Where the list is shown; one never seen counts as ``other``.
        query: What was searched for.
        attributes: Attributes of the user by name.
    """

    now: int | None = None
    has_times: bool = True
    surface: str | None = None
    query: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Judged:
    """Of the C candidates of one list.

    Attributes:
        tasks: What is predicted, T names.
        probabilities: (C, T) calibrated.
        watch: (C,) expected seconds; NaN where nothing predicts them.
        utilities: (C,) float32; NaN where a prediction is no finite number.
    """

    tasks: tuple[str, ...]
    probabilities: NDArray[np.float32]
    watch: NDArray[np.float32]
    utilities: NDArray[np.float32]

    @property
    def is_finite(self) -> NDArray[np.bool_]:
        """(C,)."""
        return np.isfinite(self.utilities)


class Judge:
    """Ranks with the second stage of a bundle that has one.

    Args:
        bundle: Its manifest says what predictions are worth.
        newcomers: Items that the bundle does not know; their content counts, and their creators' past.
    """

    def __init__(self, bundle: Bundle, newcomers: Newcomers | None = None) -> None:
        release, model = bundle.manifest.ranking, bundle.ranking
        assert release is not None, "a bundle without a second stage has no judge"
        assert model is not None, "a bundle is read with its second stage"
        self.pool = release.pool
        self._utility, self._scorer = release.utility, model.scorer
        self.retrieval = release.utility.retrieval
        new = newcomers is not None and len(newcomers) > 0
        state = model.state.with_items(newcomers.items) if newcomers is not None and new else model.state
        self._features = RequestFeatures(state)
        ids = [bundle.vocabulary.ids.tolist(), newcomers.items[ITEM_ID].to_pylist() if newcomers else []]
        rows = self._features.rows_of([*ids[0], *ids[1]])
        self._rows = np.concatenate([np.full(FIRST_ITEM, -1, np.int32), rows])
        indices = state.vocabulary.encode(ids[0])
        self._indices = np.concatenate([np.full(FIRST_ITEM, UNKNOWN, np.int32), indices])
        self._trained_until = as_microseconds(bundle.manifest.trained_until)

    def judge(
        self, columns: Sequence[NDArray[np.int32]], histories: Histories, moments: Sequence[Moment]
    ) -> list[Judged]:
        """Return what is predicted of the candidates of each of B lists, all with one run of the network.

        Args:
            columns: Candidates of each list, by their columns in the catalogue.
            histories: B histories of the bundle's indices, in the order of time.
            moments: What else each request tells.
        """
        if not columns:
            return []
        parts = [
            self._features.examples(self._asked(histories, row, moment), self._rows[columns[row]])
            for row, moment in enumerate(moments)
        ]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told by the result
            found = self._scorer.score(together(parts))
            chances = found.probabilities
        utilities = self._utilities(chances, found.watch)
        edges = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        tasks = self._scorer.spec.tasks
        return [
            Judged(tasks, chances[start:end], found.watch[start:end], utilities[start:end])
            for start, end in pairwise(edges)
        ]

    def _asked(self, histories: Histories, row: int, moment: Moment) -> Asked:
        events = slice(histories.starts[row], histories.ends[row])
        timestamps = histories.timestamps[events]
        now = moment.now
        if now is None:
            now = int(timestamps[-1]) + 1 if moment.has_times and len(timestamps) else self._trained_until
        return Asked(
            items=self._indices[histories.items[events]],
            timestamps=timestamps,
            has_times=moment.has_times,
            moment=now,
            surface=moment.surface,
            query=moment.query,
            attributes=moment.attributes,
        )

    def _utilities(self, probabilities: NDArray[np.float32], watch: NDArray[np.float32]) -> NDArray[np.float32]:
        seconds = watch if self._utility.watch else None
        utility, tasks = self._utility, self._scorer.spec.tasks
        is_finite = np.logical_and.reduce(np.isfinite(probabilities), axis=1, dtype=np.bool_)
        if seconds is not None:
            is_finite &= np.isfinite(seconds)
        values = np.full(len(is_finite), np.nan, dtype=np.float32)
        values[is_finite] = utility.score(
            probabilities[is_finite], None if seconds is None else seconds[is_finite], tasks=tasks
        )
        return values
