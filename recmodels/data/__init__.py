"""Data as models see it: the contract's schema, sources, vocabulary, splits, jagged histories and batches.

Only what serving needs too is imported here; splits and interactions bring DuckDB and are imported by name.
"""

from recmodels.data.histories import Histories
from recmodels.data.schema import Tables
from recmodels.data.vocabulary import Vocabulary

__all__ = ["Histories", "Tables", "Vocabulary"]
