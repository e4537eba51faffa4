"""RankMixer: tokens that are mixed without a parameter, each then bent by a network of its own."""

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from recmodels.layers.dropout import Dropout
from recmodels.layers.parallel import ParallelLinear
from recmodels.parts import PartConfig
from recmodels.rankers._contract import RankingBackbone


class Backbone(RankingBackbone):
    """All fields joined and cut into T tokens; blocks of token mixing and per-token networks; the tokens' mean.

    Mixing cuts each token into T heads and makes token h of the h-th heads of all, so that the shape stays; then comes
    one two-layer network a token, each half added to what came in and normalised. Source: Zhu et al. 2025 (RankMixer).
    Tokens are cut from the joined fields evenly rather than by groups of meaning, which needs no settings for each data
    set; their sparse mixture of experts is left out.
    """

    class Config(PartConfig):
        """Settings of RankMixer."""

        num_tokens: int = Field(8, ge=1)
        """T, tokens and heads."""
        token_dim: int = Field(64, ge=1)
        """Size of a token; a multiple of T."""
        num_layers: int = Field(2, ge=1)
        """Blocks."""
        expansion: int = Field(2, ge=1)
        """Size of a per-token network's inner layer, in tokens."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Share of zeros within the per-token networks, while training."""

        @model_validator(mode="after")
        def _tokens_divide(self) -> "Backbone.Config":
            if self.token_dim % self.num_tokens:
                raise ValueError(
                    f"token_dim {self.token_dim} is no multiple of num_tokens {self.num_tokens}; mixing cuts a token "
                    "into as many heads"
                )
            return self

    def __init__(self, num_fields: int, embedding_dim: int, num_numbers: int, config: Config) -> None:
        super().__init__(num_fields, embedding_dim, num_numbers, config)
        width = num_fields * embedding_dim + num_numbers
        self._part = -(-width // config.num_tokens)
        self._missing = self._part * config.num_tokens - width
        self.tokens = ParallelLinear(config.num_tokens, self._part, config.token_dim)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.out_dim = config.token_dim

    def forward(self, fields: Tensor, numbers: Tensor) -> Tensor:
        """Return the mean of the last block's tokens."""
        joined = torch.cat([fields.flatten(1), numbers], dim=1)
        filled = nn.functional.pad(joined, (0, self._missing))
        tokens = self.tokens(filled.view(-1, self.tokens.weight.shape[0], self._part))  # (N, T, W)
        for block in self.blocks:
            tokens = block(tokens)
        mean: Tensor = tokens.mean(dim=1)
        return mean


class _Block(nn.Module):
    def __init__(self, config: Backbone.Config) -> None:
        super().__init__()
        count, width = config.num_tokens, config.token_dim
        self.mixed_norm = nn.LayerNorm(width)
        self.inner = ParallelLinear(count, width, config.expansion * width)
        self.outer = ParallelLinear(count, config.expansion * width, width)
        self.dropout = Dropout(config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        count, width = tokens.shape[1:]
        heads = tokens.reshape(-1, count, count, width // count)  # (N, token, head, W / T)
        mixed = self.mixed_norm(heads.transpose(1, 2).reshape(-1, count, width) + tokens)
        bent = self.outer(self.dropout(nn.functional.gelu(self.inner(mixed))))
        normed: Tensor = self.norm(bent + mixed)
        return normed
