"""Two rankers drafted into one list for recorded users: a first reading of a challenger before anybody meets it.

What was chosen was chosen from what an earlier system showed: items that it never showed cannot win. So a pre-screen
that says worse is a reason to look closer, and one that says better is no promotion.
"""

import numpy as np
from numpy.typing import NDArray

from monitoring.canary.interleaving import (
    EMPTY,
    Draft,
    InterleavingConfig,
    Preference,
    credit,
    preference,
    team_draft,
)
from recmodels.data.splits import Queries
from recmodels.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from recmodels.evaluation.evaluator import translate
from recmodels.ranker import Ranker


def prescreen(
    champion: Ranker,
    challenger: Ranker,
    queries: Queries,
    *,
    vocabulary: Vocabulary,
    k: int,
    remove_seen: bool,
    seed: int,
    config: InterleavingConfig | None = None,
) -> Preference:
    """Draft both rankers' lists for every query, and credit each with the targets that it brought in.

    Args:
        champion: Team A.
        challenger: Team B.
        queries: Histories, and what the users went on to choose; held out from both models.
        vocabulary: The one that the queries' indices belong to. Lists meet by raw id, whatever each bundle knows.
        k: Length of the lists.
        remove_seen: Leave out the items of each history.
        seed: Of the coins.
        config: When a preference is believed.
    """
    known = [champion.bundle.vocabulary.ids, challenger.bundle.vocabulary.ids, vocabulary.ids]
    common = Vocabulary(np.unique(np.concatenate(known)))
    lists = [
        _lists(ranker, queries, vocabulary=vocabulary, common=common, k=k, remove_seen=remove_seen)
        for ranker in (champion, challenger)
    ]
    draft = team_draft(*lists, rng=np.random.default_rng(seed))
    is_chosen = _are_chosen(draft, translate(queries, source=vocabulary, target=common), size=common.size)
    return preference(credit(draft, is_chosen, queries.user_ids), config=config)


def _lists(
    ranker: Ranker, queries: Queries, *, vocabulary: Vocabulary, common: Vocabulary, k: int, remove_seen: bool
) -> NDArray[np.int64]:
    own = ranker.bundle.vocabulary
    asked = translate(queries, source=vocabulary, target=own)
    top = ranker.top_k(asked.histories, k=k, remove_seen=remove_seen)
    table = np.concatenate([np.array([EMPTY, EMPTY]), common.encode(own.ids)])
    assert (PADDING, UNKNOWN) == (0, 1)
    return np.asarray(table[top.items], dtype=np.int64)


def _are_chosen(draft: Draft, queries: Queries, *, size: int) -> NDArray[np.bool_]:
    """Return whether the query's user went on to choose the item at each place, (B, K)."""
    rows, targets = queries.targets.flat()
    drafted = np.arange(len(draft.items))[:, None] * size + draft.items
    return np.asarray(np.isin(drafted, rows * size + targets) & (draft.items != EMPTY))
