"""What an adaptation adds to a training: its parent is checked, the backbone frozen, and the change taken out of it."""

from recmodels.adaptation.adapter import Adapter
from recmodels.adaptation.config import AdaptationConfig
from recmodels.adaptation.methods import install, settle
from recmodels.errors import TrainingError
from recmodels.models._gradient import GradientModel
from recmodels.models._sequence import SequenceModel


def check_parent(config: AdaptationConfig, given: str) -> None:
    """Refuse another parent than the one that is to be adapted.

    Args:
        config: Names the parent.
        given: Digest of the bundle that training was given; empty for none.

    Raises:
        TrainingError: They differ.
    """
    if config.parent != given:
        raise TrainingError(
            f"adaptation.parent is {config.parent[:12]}, but the bundle that was given is {given[:12] or 'none'}. Load "
            "the one that the recipe names, or name the one that is to be adapted."
        )


def begin(model: GradientModel, config: AdaptationConfig, *, name: str) -> None:
    """Freeze a model that has its parent's weights, but for what the method trains.

    Args:
        model: All of it is trained where the method keeps no backbone.
        config: The method.
        name: Of the model, for messages.

    Raises:
        TrainingError: The method means nothing to this model.
    """
    if not config.keeps_backbone:
        return
    if not isinstance(model, SequenceModel):
        raise TrainingError(f"{name} has no encoder that {config.method} could change. Set adaptation.method to full.")
    model.requires_grad_(requires_grad=False)
    install(model.encoder, config, name=name)


def finish(model: GradientModel, config: AdaptationConfig) -> Adapter | None:
    """Return what was trained beside a frozen backbone, and merge what can be merged into the model."""
    if not (config.keeps_backbone and isinstance(model, SequenceModel)):
        return None
    adapter = Adapter.of(model.encoder, config)
    settle(model.encoder)
    return adapter
