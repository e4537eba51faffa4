"""Item vectors that come of ids and of what is seen, heard and read of items, some of which may be absent."""

from itertools import combinations
from typing import Literal

import pyarrow as pa
import torch
from torch import Tensor, nn

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.layers.item_table import DescribedTable
from recmodels.modalities import ItemVectors, Modality, VectorReader, dim_of

Fusion = Literal["sum", "gated"]
_BEGINNING = 0.3
"""Length of what a modality adds at first, in lengths of an id's vector: items begin apart, whatever they share."""


class ModalityTable(DescribedTable):
    """An id's vector and a projection of each modality that an item has, added up or weighed by a gate.

    `sum` adds the projections. `gated` adds their mean under weights softmax(g_m(z_m)) over the modalities that the
    item has, so that each item is mostly what says most of it. A modality that an item has not takes no part in either.

    While training, whole modalities of items are left out, each time others, and so are ids: what is left learns to do
    alone. An item whose modality is left out is exactly an item without it. Source: Neverova et al. 2016 (ModDrop);
    ids, Volkovs, Yu and Poutanen 2017 (DropoutNet). Until vectors are shown there are ids only.

    Args:
        vocabulary_size: V, the two special entries included.
        embedding_dim: D.
        modalities: What is known of items, at least one; names differ.
        fusion: How projections become one vector.
        modality_dropout: Share of modalities that are left out.
        id_dropout: Share of ids that are left out.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        *,
        modalities: tuple[Modality, ...],
        fusion: Fusion,
        modality_dropout: float,
        id_dropout: float,
    ) -> None:
        super().__init__(vocabulary_size, embedding_dim)
        dims = {modality.name: dim_of(modality) for modality in modalities}
        self.modalities = modalities
        self.modality_dropout = modality_dropout
        self.id_dropout = id_dropout
        self.projections = nn.ModuleDict({name: _projection(dim, embedding_dim) for name, dim in dims.items()})
        self.gates = nn.ModuleDict({name: _even_gate(embedding_dim) for name in dims if fusion == "gated"})
        for name, dim in dims.items():
            self.register_buffer(f"vectors_{name}", torch.zeros(vocabulary_size, dim), persistent=False)
            self.register_buffer(f"has_{name}", torch.zeros(vocabulary_size, dtype=torch.bool), persistent=False)

    def describe(self, catalogue: pa.Table) -> None:
        """Read what the files say of all items, row n being that of index n + 2."""
        found = VectorReader(self.modalities, catalogue).read(catalogue)
        for name in self.projections:
            self._shown(name)[FIRST_ITEM:] = torch.from_numpy(found.vectors[name])
            self._has(name)[FIRST_ITEM:] = torch.from_numpy(found.has[name])

    def vectors_from(self, items: pa.Table, *, catalogue: pa.Table) -> Tensor:
        """Return the vectors of items by their modalities alone, (M, D); zeros for an item without any."""
        found: ItemVectors = VectorReader(self.modalities, catalogue).read(items)
        device = self.weight.device
        return self._fused(
            {name: torch.from_numpy(found.vectors[name]).to(device) for name in self.projections},
            {name: torch.from_numpy(found.has[name]).to(device) for name in self.projections},
        )

    @property
    def kept_numbers(self) -> int:
        """Of each modality its vector and its projection twice, and the parts of the sum."""
        size = self.weight.shape[1]
        return sum(self._shown(name).shape[1] + 2 * size for name in self.projections) + 3 * size

    def vectors(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors of `ids` (any shape) as (..., D), or of all items as (V, D)."""
        own = super().vectors(ids)
        if self.training and self.id_dropout:
            kept = _kept(own.shape[:-1], self.id_dropout, own.device)
            kept |= (torch.arange(len(own), device=own.device) if ids is None else ids) < FIRST_ITEM
            own = own * kept[..., None]
        rows = slice(None) if ids is None else ids
        has = {name: self._has(name)[rows] for name in self.projections}
        if self.training and self.modality_dropout:
            has = {name: there & _kept(there.shape, self.modality_dropout, own.device) for name, there in has.items()}
        return own + self._fused({name: self._shown(name)[rows] for name in self.projections}, has)

    def alignment(self, ids: Tensor, *, temperature: float) -> Tensor:
        """Return how badly an item's id and modalities tell which of `ids`, (P,) distinct, they are of.

        Each pair of an item's parts, by cosine over the temperature, is to be closer than the parts of different items:
        the mean InfoNCE of all pairs, both ways round, over the items that have both. Source: van den Oord, Li and
        Vinyals 2018, equation 4; between modalities, Radford et al. 2021 (CLIP).

        Returns:
            A scalar; 0 where no two items have two parts each.
        """
        parts = {"": (super().vectors(ids), torch.ones_like(ids, dtype=torch.bool))}
        parts |= {
            name: (self.projections[name](self._shown(name)[ids]), self._has(name)[ids]) for name in self.projections
        }
        terms = []
        for (first, has_first), (second, has_second) in combinations(parts.values(), 2):
            both = has_first & has_second
            if both.sum() > 1:
                terms.append(_info_nce(first[both], second[both], temperature=temperature))
        return torch.stack(terms).mean() if terms else self.weight.new_zeros(())

    def _fused(self, vectors: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        """Return the part of vectors that comes of modalities: (..., T) and (...) of each -> (..., D)."""
        projected = torch.stack([self.projections[name](vectors[name]) for name in self.projections], dim=-2)
        there = torch.stack([has[name] for name in self.projections], dim=-1)  # (..., K)
        if not self.gates:
            return (projected * there[..., None]).sum(dim=-2)
        gates = [self.gates[name](projected[..., place, :]) for place, name in enumerate(self.projections)]
        logits = torch.cat(gates, dim=-1).masked_fill(~there, -torch.inf)  # (..., K)
        logits = torch.where(there.any(dim=-1, keepdim=True), logits, 0.0)
        weights = logits.softmax(dim=-1) * there
        return (projected * weights[..., None]).sum(dim=-2)

    def _shown(self, name: str) -> Tensor:
        return self.get_buffer(f"vectors_{name}")

    def _has(self, name: str) -> Tensor:
        return self.get_buffer(f"has_{name}")


def _projection(dim: int, embedding_dim: int) -> nn.Linear:
    projection = nn.Linear(dim, embedding_dim, bias=False)
    nn.init.normal_(projection.weight, std=_BEGINNING * embedding_dim**-0.5)
    return projection


def _even_gate(embedding_dim: int) -> nn.Linear:
    gate = nn.Linear(embedding_dim, 1)
    nn.init.zeros_(gate.weight)
    nn.init.zeros_(gate.bias)
    return gate


def _kept(shape: torch.Size, share: float, device: torch.device) -> Tensor:
    return torch.rand(shape, device=device) >= share


def _info_nce(first: Tensor, second: Tensor, *, temperature: float) -> Tensor:
    first, second = nn.functional.normalize(first, dim=1), nn.functional.normalize(second, dim=1)
    logits = first @ second.T / temperature  # (P, P)
    own = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2
