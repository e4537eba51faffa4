"""What is known of items as vectors of several kinds: files of images' or sounds' vectors, and texts that are encoded.

An item has a modality or has it not. It has none when the file does not name it, when its row holds zeros or NaN alone,
or when nothing is written; such an item's vector is zero and is marked as absent, which is not the same as an average
one.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, JsonValue, field_validator, model_validator

from recmodels.content import CONTENT, TextConfig
from recmodels.data.schema import ITEM_ID, TEXT
from recmodels.errors import SourceError


class Modality(TextConfig):
    """One kind of vectors: a file of them, or a text encoder."""

    name: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_]*$")
    """Such as image, audio or text."""
    file: Path | None = None
    """A `.npy` file of (M, T) numbers; None where `text` is given."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Digest of the file, so that one recipe means one content; required with `file`."""
    ids: Path | None = None
    """UTF-8 file with the item id of each row, one a line; without it row n is of the item whose id is n."""
    text: str | None = None
    """Encoder of `items.text`, by its name in `recmodels/content/`; None where `file` is given."""
    text_config: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings of the encoder."""
    scaling: Literal["standard", "none"] = "standard"
    """`standard`: each dimension less its mean, over its standard deviation, both of the catalogue's items that have
    the modality; then all over sqrt(T), so that lengths are about 1. `none` takes vectors as they are."""

    @field_validator("text")
    @classmethod
    def _is_known(cls, text: str | None) -> str | None:
        if text is not None:
            CONTENT.config(text, {})
        return text

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Modality":
        if (self.file is None) == (self.text is None):
            raise ValueError(f"modality {self.name!r} needs either a file of vectors or a text encoder, and not both")
        if self.file is not None and self.sha256 is None:
            raise ValueError(f"modality {self.name!r} needs sha256, the digest of {self.file}; sha256sum prints it")
        if self.text is not None:
            CONTENT.config(self.text, self.text_config)
        return self


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """The modalities of some items, row by row.

    Attributes:
        vectors: By the modality's name, (M, T) float32; zeros where an item has it not.
        has: By the modality's name, (M,) whether an item has it.
    """

    vectors: dict[str, NDArray[np.float32]]
    has: dict[str, NDArray[np.bool_]]


class VectorReader:
    """Turns rows of items into vectors, scaled by what the catalogue tells.

    The same catalogue and files give the same reader; new items are scaled as the catalogue's are.

    Args:
        modalities: What is read; names differ.
        catalogue: Schema `ITEMS`: what training knows of, and nothing later.

    Raises:
        SourceError: A file is missing, damaged, not what its digest says, or knows none of the catalogue's items.
    """

    def __init__(self, modalities: Sequence[Modality], catalogue: pa.Table) -> None:
        self._readers = {modality.name: _Reader(modality, catalogue) for modality in modalities}

    def read(self, items: pa.Table) -> ItemVectors:
        """Return the vectors of items, schema `ITEMS`."""
        found = {name: reader.read(items) for name, reader in self._readers.items()}
        return ItemVectors(
            {name: one.vectors for name, one in found.items()}, {name: one.has for name, one in found.items()}
        )


def dim_of(modality: Modality) -> int:
    """Return T, the size of a modality's vectors.

    Raises:
        SourceError: As `VectorReader`.
    """
    if modality.text is not None:
        return CONTENT.build(modality.text, modality.text_config).embedding_dim
    return int(_array(modality).shape[1])


@dataclass(frozen=True, eq=False)
class _Rows:
    vectors: NDArray[np.float32]
    has: NDArray[np.bool_]


class _Reader:
    """One modality's vectors and their scale."""

    def __init__(self, modality: Modality, catalogue: pa.Table) -> None:
        self._modality = modality
        if modality.text is not None:
            self._encoder = CONTENT.build(modality.text, modality.text_config).fit(_column(catalogue, TEXT))
        else:
            self._array = _array(modality)
            self._ids = _ids(modality, len(self._array))
        self._mean, self._spread = np.float64(0), np.float64(1)
        raw = self._raw(catalogue)
        if not raw.has.any():
            raise SourceError(
                f"modality {modality.name!r}: none of the {len(catalogue)} items of the catalogue has it, first "
                f"{catalogue[ITEM_ID][0].as_py()!r}. Give the file of item ids as `ids`, or leave the modality out."
            )
        if modality.scaling == "standard":
            known = raw.vectors[raw.has].astype(np.float64)
            spread = known.std(axis=0)
            self._mean = known.mean(axis=0)
            self._spread = np.where(spread > 0, spread, np.inf) * np.sqrt(known.shape[1])

    def read(self, items: pa.Table) -> _Rows:
        """Return scaled vectors, zeros where an item has none."""
        raw = self._raw(items)
        scaled = ((raw.vectors - self._mean) / self._spread).astype(np.float32)
        return _Rows(scaled * raw.has[:, None], raw.has)

    def _raw(self, items: pa.Table) -> _Rows:
        if self._modality.text is not None:
            vectors = self._encoder.encode(_column(items, TEXT))
            return _Rows(vectors, np.asarray(vectors.any(axis=1)))
        places = pc.index_in(_column(items, ITEM_ID), value_set=self._ids)
        is_named = pc.is_valid(places).to_numpy(zero_copy_only=False)
        vectors = self._array[pc.fill_null(places, 0).to_numpy()]
        has: NDArray[np.bool_] = is_named & vectors.any(axis=1) & ~np.isnan(vectors).all(axis=1)
        return _Rows(np.where(has[:, None], vectors, np.float32(0)), has)


def _array(modality: Modality) -> NDArray[np.float32]:
    """Return the vectors of a file as float32, in which sums of half-precision numbers do not overflow."""
    place = f"modality {modality.name!r}: {modality.file}"
    content = _content(modality.file, place=place)
    digest = hashlib.sha256(content).hexdigest()
    if digest != modality.sha256:
        raise SourceError(
            f"{place} has the SHA-256 {digest}, expected {modality.sha256}. Restore the file, or name the digest of "
            "the one that is meant."
        )
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise SourceError(f"{place} is not a .npy file of numbers ({error}). Write it with numpy.save.") from error
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise SourceError(
            f"{place} holds an array {array.shape} of {array.dtype}; expected numbers of two dimensions, (items, size)."
        )
    vectors: NDArray[np.float32] = array.astype(np.float32)
    damaged = ~np.isfinite(vectors).all(axis=1) & ~np.isnan(vectors).all(axis=1)
    if damaged.any():
        raise SourceError(
            f"{place}: {int(damaged.sum())} rows hold numbers and NaN or infinity, first row {int(damaged.argmax())}. "
            "A row without a vector is all zeros or all NaN; correct the others."
        )
    return vectors


def _ids(modality: Modality, count: int) -> pa.Array:
    if modality.ids is None:
        return pa.array(np.arange(count).astype(np.str_), pa.string())
    place = f"modality {modality.name!r}: {modality.ids}"
    ids = pa.array(_content(modality.ids, place=place).decode("utf-8").splitlines(), pa.string())
    if len(ids) != count or pc.count_distinct(ids).as_py() != count:
        raise SourceError(
            f"{place} names {len(ids)} items, {pc.count_distinct(ids).as_py()} of them distinct, for {count} rows of "
            f"{modality.file}. Give one line a row, each id once."
        )
    return ids


def _content(path: Path | None, *, place: str) -> bytes:
    assert path is not None, "a modality without a text encoder has a file"
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{place} cannot be read ({error.strerror}). Correct the path.") from error


def _column(items: pa.Table, name: str) -> pa.Array:
    column = items[name].cast(pa.string())
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
