"""The twelve: each a bundle that somebody could hand over, made from a good one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks.zoo.graphs import item_vectors, slow_graph, sum_graph
from benchmarks.zoo.variants import by_age, table_of, with_files, with_items, with_listing, with_scorer, with_weights
from benchmarks.zoo.world import SEED, World
from recmodels.bundle import swap_ids
from recmodels.data.schema import SAFETY, TEXT
from recmodels.scorers import EncoderScorer, StaticScorer

_STALE_SHARE = 0.3
_NARROW_ITEMS = 12
_TOO_LARGE = 9 * 2**30
_BOMB_BYTES = 12 * 2**30
_TRAVERSAL = "../../traversed.json"


@dataclass(frozen=True)
class Animal:
    """A bad model: what it is called, what is wrong with it, and how it is made."""

    name: str
    words: str
    make: Callable[[World], str]


def nan(world: World) -> str:
    """Put a NaN into the weights of one item: only people with that item in their history meet it."""
    return _with_row(world, np.nan)


def overflow(world: World) -> str:
    """Give one item weights that are numbers, and whose sums are not."""
    return _with_row(world, float(np.finfo(np.float32).max))


def constant(world: World) -> str:
    """Score every item alike."""
    return with_scorer(world, StaticScorer(np.zeros(world.good.vocabulary.size, np.float32)))


def empty(world: World) -> str:
    """Block the whole catalogue, so that no list holds anything."""
    return with_scorer(world, world.good.scorer, items=_with_safety(world.good.items, "blocked"))


def slow(world: World) -> str:
    """Score well, and take a quarter of a second for it."""
    return with_scorer(world, EncoderScorer(slow_graph(), item_vectors(world), max_length=10))


def unsafe(world: World) -> str:
    """Forget which items are blocked."""
    return with_scorer(world, world.good.scorer, items=_with_safety(world.good.items, "ok"))


def narrow(world: World) -> str:
    """Show everybody the same dozen items."""
    counts = world.good.item_counts.astype(np.float32)
    best = np.argsort(-counts, kind="stable")[: _NARROW_ITEMS + len(world.blocked)]
    scores = np.full(len(counts), -1e9, np.float32) + counts
    scores[best] = counts[best]
    return with_scorer(world, StaticScorer(scores))


def swapped(world: World) -> str:
    """Deal the item ids out anew."""
    return swap_ids(world.root, world.champion, seed=SEED)


def stale(world: World) -> str:
    """Know nothing of the newest items."""
    order = by_age(world)
    return with_items(world, np.sort(order[: round(len(order) * (1 - _STALE_SHARE))]))


def corrupt(world: World) -> str:
    """Turn one bit of the weights after the bundle was sealed."""
    digest = with_weights(world, lambda values: values * np.float32(1.0009765625))
    path = world.root / digest / "scorer" / "arrays.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return digest


def wrong_schema(world: World) -> str:
    """Write `safety` as numbers, as an older exporter did."""

    def number(folder: Path) -> None:
        items = pq.read_table(folder / "items.parquet")
        place = items.schema.get_field_index(SAFETY)
        pq.write_table(items.set_column(place, SAFETY, pa.nulls(len(items), pa.int8())), folder / "items.parquet")

    return with_files(world, world.champion, number)


def too_large(world: World) -> str:
    """Bring nine gigabytes of weights."""

    def grow(folder: Path) -> None:
        with (folder / "scorer" / "more.safetensors").open("wb") as file:
            file.truncate(_TOO_LARGE)  # sparse: it takes no room on the disk

    return with_listing(world, world.champion, {"scorer/more.safetensors": "0" * 64}, grow)


def pickle_in_disguise(world: World) -> str:
    """Call a pickle that writes a file safetensors; a reader that unpickles runs it."""

    def disguise(folder: Path) -> None:
        target = folder.parent / "unpickled"
        program = f"cbuiltins\neval\n(S\"open({str(target)!r}, 'w').close()\"\ntR.".encode()
        (folder / "scorer" / "arrays.safetensors").write_bytes(program)

    return with_files(world, world.champion, disguise)


def traversal(world: World) -> str:
    """List a file outside the bundle."""
    (world.root / _TRAVERSAL).resolve().write_text("{}")
    return with_listing(world, world.champion, {_TRAVERSAL: "0" * 64}, lambda _folder: None)


def external_data(world: World) -> str:
    """Name a file outside the bundle as the ONNX graph's weights."""
    digest = with_scorer(world, EncoderScorer(sum_graph(), item_vectors(world), max_length=10))

    def point_outside(folder: Path) -> None:
        model = onnx.load_model_from_string((folder / "scorer" / "encoder.onnx").read_bytes())
        tensor = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[1, 1])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "../../../../etc/passwd"), ("offset", "0"), ("length", "4")):
            tensor.external_data.add(key=key, value=value)
        model.graph.initializer.append(tensor)
        model.graph.node.append(helper.make_node("Mul", ["query", "secret"], ["leaked"]))
        (folder / "scorer" / "encoder.onnx").write_bytes(model.SerializeToString())

    return with_files(world, digest, point_outside)


def bomb(world: World) -> str:
    """Give every item the same very long text: it is written once, and read as often as there are items."""

    def inflate(folder: Path) -> None:
        path = folder / "items.parquet"
        items = pq.read_table(path)
        letters = pa.array(["x" * (_BOMB_BYTES // len(items))])
        same = pa.DictionaryArray.from_arrays(np.zeros(len(items), np.int8), letters)
        place = items.schema.get_field_index(TEXT)
        pq.write_table(items.set_column(place, TEXT, same), path, store_schema=False, dictionary_pagesize_limit=2**30)

    return with_files(world, world.champion, inflate)


ANIMALS = (
    Animal("NaN: weights", "the weights of one popular item are not numbers", nan),
    Animal("NaN: scores", "the weights are numbers, sums of them are not", overflow),
    Animal("constant", "every item has the same score", constant),
    Animal("empty", "the whole catalogue is blocked", empty),
    Animal("slow", "the encoder takes a quarter of a second", slow),
    Animal("unsafe items", "the labels of blocked items are lost", unsafe),
    Animal("tiny coverage", "everybody sees the same dozen items", narrow),
    Animal("swapped ids", "the item ids are dealt out anew", swapped),
    Animal("stale vocabulary", "the newest 30 % of the items are unknown", stale),
    Animal("corrupt file", "one bit of the weights was turned", corrupt),
    Animal("wrong schema", "`safety` is a number", wrong_schema),
    Animal("too large for memory", "9 GiB of weights", too_large),
    Animal("malicious: pickle", "a pickle that runs a program poses as safetensors", pickle_in_disguise),
    Animal("malicious: traversal", "the manifest lists a file outside the bundle", traversal),
    Animal("malicious: external data", "the ONNX graph reads /etc/passwd as weights", external_data),
    Animal("malicious: Parquet bomb", "one text, written once, that becomes 12 GiB when it is read", bomb),
)
"""Twelve kinds; the first comes in two ways, and the last in four."""


def _with_row(world: World, value: float) -> str:
    """Give the second and the third most popular item `value` for a weight wherever they have one."""
    rows = np.argsort(-world.good.item_counts, kind="stable")[1:3]
    offsets = table_of(world).indptr

    def spoil(values: NDArray[np.float32]) -> NDArray[np.float32]:
        spoilt = values.copy()
        for row in rows:
            spoilt[offsets[row] : offsets[row + 1]] = value
        return spoilt

    return with_weights(world, spoil)


def _with_safety(items: pa.Table, label: str) -> pa.Table:
    place = items.schema.get_field_index(SAFETY)
    return items.set_column(place, items.schema.field(place), pc.cast(pa.repeat(label, len(items)), pa.string()))
