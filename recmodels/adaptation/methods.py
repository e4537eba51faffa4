"""What each method does to a model that has its parent's weights: before training, and after it."""

from torch import nn

from recmodels.adaptation.config import AdaptationConfig
from recmodels.adaptation.low_rank import add_low_rank, merge_low_rank
from recmodels.adaptation.prefix import SoftPrefix
from recmodels.encoders._contract import SequenceEncoder
from recmodels.encoders.transformer import TransformerEncoder
from recmodels.errors import TrainingError


def install(encoder: SequenceEncoder, config: AdaptationConfig, *, name: str) -> None:
    """Freeze an encoder and give it what is trained instead.

    Args:
        encoder: With its parent's weights.
        config: Its method keeps the backbone.
        name: Of the model, for messages.

    Raises:
        TrainingError: The method means nothing to this encoder.
    """
    encoder.requires_grad_(requires_grad=False)
    if config.method == "low_rank":
        if not add_low_rank(encoder, rank=config.rank, scale=config.scale):
            raise TrainingError(f"{name} has no linear layer, so that low_rank changes nothing of it. Choose full.")
    elif config.method == "prefix":
        if not isinstance(encoder, TransformerEncoder):
            raise TrainingError(
                f"{name} has no attention that could look at a prefix; sasrec and esasrec have. Set adaptation.method "
                "to low_rank or full."
            )
        encoder.prefix = SoftPrefix(
            encoder.positions.shape[1], length=config.prefix_length, hidden=config.prefix_hidden
        ).to(encoder.positions.device)


def settle(encoder: SequenceEncoder) -> None:
    """Merge what can be merged, so that serving costs nothing more; a prefix stays, as it is part of the graph."""
    merge_low_rank(encoder)


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return what is trained, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
