"""Parquet as a bundle keeps it: read only where what it unfolds to is known, and no more than it may be.

A few kilobytes can stand for gigabytes: equal values are written once, and some codecs shrink a thousandfold.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_CODECS = ("SNAPPY", "UNCOMPRESSED")
"""Of which the first is what we write; neither unpacks to more than some twenty times the file."""


def read_table(path: Path, *, rows: int, max_bytes: int) -> pa.Table:
    """Return the table of a file, after its texts were measured while each different one was held once.

    Args:
        path: A Parquet file.
        rows: How many rows it must have.
        max_bytes: Most bytes that its texts may take.

    Raises:
        ValueError: It has other rows, nested columns, another codec or more text; the message starts with its name.
        OSError: It cannot be read; `pyarrow.ArrowInvalid` where it is no Parquet.
    """
    header = pq.read_metadata(path)
    if header.num_rows != rows:
        raise ValueError(f"{path.name}: it has {header.num_rows} rows, expected {rows}")
    schema = header.schema.to_arrow_schema()
    if nested := [field.name for field in schema if pa.types.is_nested(field.type)]:
        raise ValueError(f"{path.name}: {', '.join(nested)} hold lists or structures, expected plain values")
    if strange := _codecs(header) - set(_CODECS):
        raise ValueError(f"{path.name}: it is packed by {', '.join(sorted(strange))}, expected {' or '.join(_CODECS)}")
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    folded = pq.ParquetFile(path, read_dictionary=texts).read(use_threads=False)  # each thread would keep memory
    size = sum(_letters(column) for column in folded.columns if pa.types.is_dictionary(column.type))
    if size > max_bytes:
        raise ValueError(f"{path.name}: its texts take {size} bytes, at most {max_bytes} are given to one bundle")
    return pa.table([_unfolded(column) for column in folded.columns], names=folded.column_names)


def _codecs(header: pq.FileMetaData) -> set[str]:
    places = [(group, column) for group in range(header.num_row_groups) for column in range(header.num_columns)]
    return {header.row_group(group).column(column).compression for group, column in places}


def _letters(column: pa.ChunkedArray) -> int:
    """Return how many bytes a column's texts take once each row has its own."""
    sizes = [pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() for chunk in column.chunks]
    return sum(size or 0 for size in sizes)


def _unfolded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
