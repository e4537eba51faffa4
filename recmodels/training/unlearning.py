"""EASE and item neighbours without some users, from what is kept of a training instead of everybody's histories.

Both models depend on the data through X'X alone, where X (U, N) says which user consumed which item. Taking users away
takes their rows from it, so that the model equals, up to rounding, the one that is trained without them; for EASE it is
the inverse that is kept, which spares the cubic part of a training. Items that fall out of the catalogue with the users
leave the statistics, too.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.models import ease, item_knn
from recmodels.models._neighbours import incidence


@dataclass(frozen=True, eq=False)
class EaseStatistics:
    """What EASE keeps of its training.

    Attributes:
        inverse: (N, N) float64, the inverse of X'X + lambda I; symmetric. 8 N**2 bytes.
    """

    inverse: NDArray[np.float64]

    @classmethod
    def of(cls, histories: Histories, vocabulary_size: int, *, regularisation: float) -> Self:
        """Return the statistics of training histories; it costs what a training does."""
        return cls(ease.inverse_gram(incidence(histories, vocabulary_size), regularisation))

    def without(self, histories: Histories) -> Self:
        """Return the statistics without M users, in O(M N**2) instead of the O(N**3) of a training.

        With Y (M, N) their rows, the inverse of X'X + lambda I - Y'Y is P + P Y' (I - Y P Y')**-1 Y P.
        Source: Woodbury 1950. Each call adds rounding of about 1e-15 times the condition of X'X + lambda I.

        Args:
            histories: All that these users were trained on, repeats allowed; each user in one row. A user who was not
                in the training must not be here.
        """
        rows = incidence(histories, len(self.inverse) + FIRST_ITEM).toarray().astype(np.float64)  # (M, N)
        half = rows @ self.inverse  # (M, N)
        inner = np.eye(len(rows)) - half @ rows.T  # (M, M), positive definite while lambda > 0
        return replace(self, inverse=self.inverse + half.T @ np.linalg.solve(inner, half))

    def without_items(self, kept: NDArray[np.bool_]) -> Self:
        """Return the statistics of the data without some items, (N,) `kept`: the inverse of the smaller matrix.

        It is the Schur complement of the part that goes, P_kk - P_kg P_gg**-1 P_gk.
        """
        gone = ~kept
        cross = self.inverse[np.ix_(kept, gone)]
        inverse = self.inverse[np.ix_(kept, kept)] - cross @ np.linalg.solve(self.inverse[np.ix_(gone, gone)], cross.T)
        return replace(self, inverse=inverse)

    def table(self, config: ease.Model.Config) -> sparse.csr_array:
        """Return the weights that are served, (V, V) CSR."""
        return ease.table_of(self.inverse, config)


@dataclass(frozen=True, eq=False)
class ItemKnnStatistics:
    """What item neighbours keep of their training.

    Attributes:
        together: (N, N) CSR float32, X'X: users who consumed both; on the diagonal, users who consumed the item. Whole
            numbers, so that taking users away is exact.
    """

    together: sparse.csr_array

    @classmethod
    def of(cls, histories: Histories, vocabulary_size: int) -> Self:
        """Return the statistics of training histories."""
        return cls(_gram(incidence(histories, vocabulary_size)))

    def without(self, histories: Histories) -> Self:
        """Return the statistics without some users.

        Args:
            histories: As for `EaseStatistics.without`.
        """
        size = self.together.shape[0] + FIRST_ITEM
        left = (self.together - _gram(incidence(histories, size))).tocsr()
        left.eliminate_zeros()
        return replace(self, together=left)

    def without_items(self, kept: NDArray[np.bool_]) -> Self:
        """Return the statistics of the data without some items, (N,) `kept`."""
        return replace(self, together=self.together[kept][:, kept].tocsr())

    def table(self, config: item_knn.Model.Config) -> sparse.csr_array:
        """Return the similarities that are served, (V, V) CSR: to the bit those of a training without the users."""
        counts = self.together.diagonal().astype(np.float32)
        return item_knn.table_of(lambda rows: self.together[rows], counts, config)


def _gram(users: sparse.csc_array) -> sparse.csr_array:
    return (users.T @ users).tocsr()
