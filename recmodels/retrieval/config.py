"""How the items of an encoder are searched: what a recipe asks for, and what a bundle's manifest says it got."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RetrievalConfig(BaseModel):
    """Which search over item vectors a bundle gets. Models without item vectors score every item and ignore it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["auto", "exact", "hnsw"] = "auto"
    """`exact` compares with every item; `hnsw` walks a graph of near items; `auto` is exact below `hnsw_from` items."""
    hnsw_from: int = Field(250_000, ge=1)
    """Items from which on `auto` builds a graph. At 100,000 items exact search takes 0.3 ms, and a graph searched for
    long enough to find 98 of the best 100 takes 0.7."""
    hnsw_m: int = Field(32, ge=4, le=64)
    """Links of an item in the graph; twice as many in its lowest layer."""
    ef_construction: int = Field(200, ge=8, le=2000)
    """Candidates that are considered for the links of an item while the graph is built."""
    ef_search: int = Field(512, ge=16, le=4096)
    """Most candidates of a search. The smallest of its eighth, quarter, half and whole that reaches `recall_floor` is
    what the bundle searches with."""
    recall_floor: float = Field(0.98, ge=0, le=1)
    """Least recall_at_100 of the graph against exact search; below it the bundle keeps exact search."""

    def wants_graph(self, num_items: int) -> bool:
        """Return whether a graph is built for so many items; whether it is kept depends on its recall."""
        return self.kind == "hnsw" or (self.kind == "auto" and num_items >= self.hnsw_from)


class RetrievalReport(BaseModel):
    """What search a bundle got, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["exact", "hnsw"]
    recall_at_100: float | None = None
    """Of the graph against exact search, also where the graph was refused for it; None where none was built."""
    ef_search: int | None = None
    """Candidates of a search in the graph."""
    words: str
    """The reason, for a person."""
