"""How much memory a bundle will take, told from its files' sizes and headers before any of them is read whole."""

from pathlib import Path

import pyarrow.parquet as pq

from recmodels.lineage import WEIGHTS
from recmodels.retrieval.graph import GRAPH

_ITEM_BYTES = 1000
"""Of an item beside its vector: its id in a dictionary and in an array of names, its filters, and its count."""
_VALUE_BYTES = 24
"""Of a value in a table, beside what a text is long."""
_SESSION_SIZES = 3
"""What ONNX Runtime makes of a graph, in sizes of its file: the bytes, the parsed model and its packed weights."""


def forecast_bytes(folder: Path, *, num_items: int) -> int:
    """Return about how many bytes a verified bundle takes in memory; rather too many than too few.

    Trained weights do not count: who serves never reads them.

    Args:
        folder: Of the bundle.
        num_items: As the manifest says.

    Raises:
        OSError: A table's header cannot be read; `pyarrow.ArrowInvalid` where it is none.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / WEIGHTS]
    copies = 3.0 if any(path.name == GRAPH for path in paths) else 2.0  # of vectors and links, made for the search
    return num_items * _ITEM_BYTES + sum(_bytes_of(path, copies=copies) for path in paths)


def _bytes_of(path: Path, *, copies: float) -> int:
    if path.suffix == ".parquet":
        header = pq.read_metadata(path)
        unpacked = sum(header.row_group(number).total_byte_size for number in range(header.num_row_groups))
        return int(unpacked + header.num_rows * header.num_columns * _VALUE_BYTES)
    size = path.stat().st_size
    if path.suffix == ".onnx":
        return size * _SESSION_SIZES
    return int(size * copies)
