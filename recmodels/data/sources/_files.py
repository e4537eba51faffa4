"""Reading of files for sources: every way in which a file can be wrong gets a message with its place."""

import gzip
import io
import tomllib
import zlib
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from recmodels.errors import SourceError


class SourceOptions(BaseModel):
    """Base of a source's options: frozen, and unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnyOptions = TypeVar("AnyOptions", bound=SourceOptions)


def parse_options(kind: type[AnyOptions], options: dict[str, object], *, source: str) -> AnyOptions:
    """Validate the options given to a source.

    Raises:
        SourceError: An option is unknown or holds a wrong value; the message names the options that exist.
    """
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        known = ", ".join(kind.model_fields) or "none"
        problems = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"]) or "options"
            reason = "is unknown" if problem["type"] == "extra_forbidden" else f"{problem['msg']}"
            problems.append(f"option {place!r}: {reason} (got {problem['input']!r})")
        raise SourceError(f"source {source!r}: {'; '.join(problems)}. Options it takes: {known}.") from error


def require_path(path: Path, *, source: str) -> Path:
    """Return the path if something is there.

    Raises:
        SourceError: Nothing is there; the message names the nearest folder that exists and what is in it.
    """
    if path.exists():
        return path
    near = next((parent for parent in path.parents if parent.is_dir()), None)
    beside = f" {near} holds: {listing(near)}." if near is not None else ""
    raise SourceError(f"source {source!r}: {path} does not exist.{beside} Correct the path.")


def listing(folder: Path) -> str:
    """Name the first entries of a folder, for messages."""
    names = sorted(entry.name for entry in folder.iterdir())
    return (", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")) or "nothing"


def read_bytes(path: Path, *, source: str) -> bytes:
    """Read a file whole.

    Raises:
        SourceError: The file cannot be read or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"source {source!r}: {path} cannot be read ({error.strerror}). Give a readable file."
        ) from error
    if not content.strip():
        raise SourceError(f"source {source!r}: {path} is empty. Give a file with at least one row.")
    return content


def read_toml(path: Path, *, source: str) -> dict[str, object]:
    """Read a TOML file of options.

    Raises:
        SourceError: The file is missing, empty or not TOML.
    """
    content = read_bytes(require_path(path, source=source), source=source)
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"source {source!r}: {path} is not TOML ({error}). Correct the line it names.") from error


def read_parquet(path: Path, *, source: str) -> pa.Table:
    """Read a Parquet file whole.

    Raises:
        SourceError: The file is missing, empty, truncated or not Parquet.
    """
    require_path(path, source=source)
    if path.stat().st_size == 0:
        raise SourceError(f"source {source!r}: {path} is empty. Give a Parquet file with at least one row.")
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"source {source!r}: {path} of {path.stat().st_size} bytes is not a whole Parquet file ({error}). "
            f"It may be truncated: copy or download it again."
        ) from error
    return table


def read_text_table(
    content: bytes,
    *,
    place: str,
    source: str,
    delimiter: str = ",",
    names: list[str] | None = None,
    encoding: str = "utf8",
    is_quoted: bool = True,
) -> pa.Table:
    """Read delimited text with every column as text; an empty field is null.

    Args:
        content: The file's bytes.
        place: The file's name, for messages.
        source: The source's name, for messages.
        delimiter: One character.
        names: Column names where the first line is data; otherwise the first line is the header.
        encoding: The text's encoding.
        is_quoted: Whether fields may stand in double quotes.

    Raises:
        SourceError: A line has another number of fields, or the bytes are not text of this encoding.
    """
    header = names if names is not None else _header(content, delimiter=delimiter, encoding=encoding)
    try:
        return pa_csv.read_csv(
            io.BytesIO(content),
            read_options=pa_csv.ReadOptions(
                column_names=header,
                skip_rows=0 if names is not None else 1,
                encoding=encoding,
                block_size=1 << 24,
                use_threads=False,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if is_quoted else False,
                newlines_in_values=is_quoted,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise SourceError(
            f"source {source!r}: {place} is not text of {len(header)} columns separated by {delimiter!r} ({error}). "
            f"Its columns are {header}: correct the line, or the separator."
        ) from error


def read_any(path: Path, *, source: str) -> pa.Table:
    """Read a Parquet file, or a CSV or TSV file with a header as text columns, which gzip may have compressed.

    Raises:
        SourceError: The file is missing, empty, damaged, or of another kind.
    """
    is_compressed = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if is_compressed else path).suffix.lower()
    if suffix == ".parquet" and not is_compressed:
        return read_parquet(path, source=source)
    if suffix not in (".csv", ".tsv"):
        raise SourceError(f"source {source!r}: {path.name} has the ending {suffix!r}; expected .parquet, .csv or .tsv.")
    content = read_bytes(require_path(path, source=source), source=source)
    if is_compressed:
        content = _unpacked(content, place=path.name, source=source)
    return read_text_table(content, place=path.name, source=source, delimiter="\t" if suffix == ".tsv" else ",")


def _unpacked(content: bytes, *, place: str, source: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"source {source!r}: {place} is not a whole gzip file ({error}). Copy or download it again."
        ) from error


def require_columns(table: pa.Table, names: list[str], *, place: str, source: str) -> pa.Table:
    """Return the named columns in that order.

    Raises:
        SourceError: A column is missing; the message names those that are there.
    """
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise SourceError(
            f"source {source!r}: {place} has no column {missing[0]!r}; its columns are "
            f"{', '.join(table.column_names)}. Expected {', '.join(names)}."
        )
    return table.select(names)


def require_rows(table: pa.Table, *, place: str, source: str) -> pa.Table:
    """Return the table if it has rows.

    Raises:
        SourceError: It has none.
    """
    if table.num_rows:
        return table
    raise SourceError(f"source {source!r}: {place} has a header but no row. Give a file with at least one interaction.")


def _header(content: bytes, *, delimiter: str, encoding: str) -> list[str]:
    first = content.split(b"\n", 1)[0].decode(encoding, errors="replace").strip("\r\ufeff")
    return [name.strip().strip('"') for name in first.split(delimiter)]
