"""Sources: each public module reads one kind of data set into the contract's tables.

A module defines a pydantic `Options` model and ``read(path, **options) -> Tables``.
"""

from recmodels.registry import Registry

SOURCES = Registry("recmodels.data.sources", "read", "source")

__all__ = ["SOURCES"]
