"""What an adaptation changed, as a file of its own: a few KB that mean nothing without their parent, and say so."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recmodels.adaptation.config import AdaptationConfig
from recmodels.adaptation.methods import install, settle, trainable
from recmodels.arrays import check_finite
from recmodels.bundle import Bundle
from recmodels.encoders._contract import SequenceEncoder
from recmodels.errors import AdapterError
from recmodels.models import MODELS
from recmodels.models._sequence import SequenceConfig
from recmodels.scorers import EncoderScorer
from recmodels.training.export import export_encoder
from recmodels.weights import load_weights

_ENCODER = "encoder."
_PARENT, _CONFIG = "parent", "adaptation"


@dataclass(frozen=True, eq=False)
class Adapter:
    """What was trained beside a frozen encoder.

    Attributes:
        config: How; its `parent` is the bundle that this is a change of.
        tensors: By their names in the encoder.
    """

    config: AdaptationConfig
    tensors: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, encoder: SequenceEncoder, config: AdaptationConfig) -> "Adapter":
        """Copy what is trained out of an encoder that was not settled yet."""
        return cls(
            config, {name: value.detach().cpu().numpy().copy() for name, value in sorted(trainable(encoder).items())}
        )

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        return sum(array.size for array in self.tensors.values())

    def save(self, path: Path) -> int:
        """Write the adapter and return the file's size in bytes; equal adapters write equal bytes."""
        metadata = {_PARENT: self.config.parent, _CONFIG: self.config.model_dump_json()}
        save_file(dict(self.tensors), path, metadata=metadata)
        return path.stat().st_size

    @classmethod
    def load(cls, path: Path) -> "Adapter":
        """Read what `save` wrote.

        Raises:
            AdapterError: The file is missing, damaged, or no adapter.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                said = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            config = AdaptationConfig.model_validate_json(said[_CONFIG])
            for name, array in tensors.items():
                check_finite(array, file=path.name, name=name)
        except (OSError, KeyError, ValueError, ValidationError, json.JSONDecodeError, SafetensorError) as error:
            raise AdapterError(f"{path} is no adapter that can be read ({error!r}). Adapt the parent again.") from error
        if not config.keeps_backbone or not config.parent:
            raise AdapterError(
                f"{path} is of the method {config.method!r} and parent {config.parent!r}; an adapter has prefix or "
                "low_rank and names its parent. Adapt the parent again."
            )
        return cls(config, tensors)

    def apply(self, bundle: Bundle) -> EncoderScorer:
        """Return the parent's scorer with this change, over the parent's own catalogue.

        Args:
            bundle: The parent, whose files were compared with its digest when it was loaded.

        Raises:
            AdapterError: The bundle is another one, or the tensors are not those of its encoder.
            BundleError: The bundle holds no trained weights.
        """
        if bundle.digest != self.config.parent:
            raise AdapterError(
                f"this adapter changes bundle {self.config.parent[:12]}, not {bundle.digest[:12]}: added to other "
                "weights its numbers mean nothing. Load its parent, or adapt this bundle."
            )
        encoder, config = _encoder_of(bundle)
        install(encoder, self.config, name=bundle.manifest.model)
        own = trainable(encoder)
        wanted = {name: tuple(value.shape) for name, value in own.items()}
        given = {name: array.shape for name, array in self.tensors.items()}
        if wanted != given:
            differ = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
            raise AdapterError(
                f"the adapter's tensors are not those of bundle {bundle.digest[:12]}: {', '.join(differ[:4])} "
                f"({len(differ)} differ). Adapt the parent again."
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(torch.from_numpy(np.array(self.tensors[name])))
        settle(encoder)
        graph = export_encoder(encoder, embedding_dim=config.embedding_dim, max_length=config.max_length)
        assert isinstance(bundle.scorer, EncoderScorer), "a bundle with weights has an encoder"
        return EncoderScorer(graph, bundle.scorer.item_vectors, config.max_length, bundle.scorer.graph)


def _encoder_of(bundle: Bundle) -> tuple[SequenceEncoder, SequenceConfig]:
    """Return the encoder that a bundle was exported from."""
    chosen = bundle.manifest.recipe["model"]
    config = MODELS.config(chosen["name"], chosen["config"])
    if not isinstance(config, SequenceConfig):
        raise AdapterError(f"bundle {bundle.digest[:12]} is a {chosen['name']}, which has no encoder to change.")
    encoder = config.build_encoder()
    weights = {
        name.removeprefix(_ENCODER): torch.from_numpy(copy.copy(array))
        for name, array in load_weights(bundle).items()
        if name.startswith(_ENCODER)
    }
    encoder.load_state_dict(weights)
    return encoder.eval(), config
