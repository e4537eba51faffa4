"""A causal transformer whose blocks decide, number by number, how much they add."""

from torch import Tensor, nn

from recmodels.encoders.transformer import TransformerEncoder
from recmodels.layers.attention import AttentionBlock
from recmodels.layers.dropout import Dropout


class SwiGlu(nn.Module):
    """A two-layer network whose hidden layer is a product: one half, through SiLU, gates the other.

    Source: Shazeer 2020, equation 6, without biases.

    Args:
        embedding_dim: D.
        hidden_dim: Size of each half.
    """

    def __init__(self, embedding_dim: int, *, hidden_dim: int) -> None:
        super().__init__()
        self.gate_value = nn.Linear(embedding_dim, 2 * hidden_dim, bias=False)
        self.output = nn.Linear(hidden_dim, embedding_dim, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., D) of (..., D)."""
        gate, value = self.gate_value(states).chunk(2, dim=-1)
        result: Tensor = self.output(nn.functional.silu(gate) * value)
        return result


class GatedBlock(AttentionBlock):
    """Attention, then SwiGLU; what each adds is multiplied by a sigmoid of what came in.

    Args:
        embedding_dim: D.
        num_heads: Must divide D.
        dropout: Share of zeros in what each half adds.
    """

    def __init__(self, embedding_dim: int, *, num_heads: int, dropout: float) -> None:
        super().__init__(embedding_dim, num_heads=num_heads)
        self.attention_gate = nn.Linear(embedding_dim, embedding_dim)
        self.network_norm = nn.LayerNorm(embedding_dim)
        self.network = SwiGlu(embedding_dim, hidden_dim=4 * embedding_dim)
        self.network_gate = nn.Linear(embedding_dim, embedding_dim)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, may_attend: Tensor, *, last: int) -> Tensor:
        """Return the new states of the last positions only."""
        seen = self.attend(states, may_attend, last=last)
        states = states[:, -last:]
        states = states + self.dropout(self.attention_gate(states).sigmoid() * self.output(seen))
        network = self.network(self.network_norm(states))
        result: Tensor = states + self.dropout(self.network_gate(states).sigmoid() * network)
        return result

    def kept_numbers(self, length: int) -> int:
        """Return about 32 vectors and, where attention is not fused, its weights."""
        return 32 * self.query.in_features + 2 * self.num_heads * length


class LigrEncoder(TransformerEncoder):
    """The transformer with gated blocks.

    Source: Borisyuk et al. 2025 (LiGR), section 3, as Tikhonovich et al. 2025 (eSASRec) apply it to histories.
    """

    block = GatedBlock
