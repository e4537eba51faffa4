"""MovieLens in any of its own layouts: ML-100K, ML-1M, the CSV releases, and ML-100K as RecBole packs it as text."""

import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.columns import as_number
from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import normalise
from recmodels.data.schema import ITEM_ID, RATING, SURFACE, TIMESTAMP, USER_ID, Tables
from recmodels.data.sources._files import (
    SourceOptions,
    listing,
    parse_options,
    read_bytes,
    require_path,
    require_rows,
)
from recmodels.data.sources._movielens_layouts import LAYOUTS, RECBOLE, Layout, ReadFile
from recmodels.errors import SourceError

TERMS = (
    "MovieLens data (GroupLens, University of Minnesota): for research use; not to be redistributed without "
    "permission; no commercial use; cite Harper and Konstan, The MovieLens Datasets (2015)."
)
_MEMBERS = "recbole/dataset_example/ml-100k/"
_NAME = "movielens"
_NOTES = (
    "rating -> rating; seconds -> timestamp; every row is of surface video",
    "title without its year -> text; genres -> category, joined by |; release date or year -> published_at",
    "age, gender and occupation are user attributes, as the files write them; the zip code is not read",
)


class Options(SourceOptions):
    """MovieLens needs no options: the layout is recognised by its files."""


def read(path: Path, **options: object) -> Tables:
    """Read MovieLens.

    Args:
        path: A folder with `u.data`, `ratings.dat`, `ratings.csv` or `ml-100k.inter` (and the item and user files
            beside it), that ratings file itself, or a RecBole wheel, which is read in place.
        options: None are known.

    Raises:
        SourceError: No layout is recognised, a file is missing, empty or damaged, or an option is given.
        DataError: A value is of the wrong type; the message names the column and the row.
    """
    parse_options(Options, options, source=_NAME)
    require_path(path, source=_NAME)
    if path.suffix in (".whl", ".zip"):
        return _tables(RECBOLE, _zip_reader(path), name=RECBOLE.name)
    folder = path if path.is_dir() else path.parent
    layout = _recognise(path, folder)
    return _tables(layout, lambda name: _file(folder, name), name=layout.name or folder.resolve().name)


def _recognise(path: Path, folder: Path) -> Layout:
    wanted = [path.name] if path.is_file() else [entry.name for entry in folder.iterdir()]
    for layout in LAYOUTS:
        if layout.ratings in wanted:
            return layout
    known = ", ".join(layout.ratings for layout in LAYOUTS)
    raise SourceError(
        f"source 'movielens': {path} holds no ratings file. Expected one of {known}, or a RecBole wheel (.whl); "
        f"found: {listing(folder)}. Data that knows only an order is read by the source 'sequences'."
    )


def _file(folder: Path, name: str) -> bytes:
    return read_bytes(require_path(folder / name, source=_NAME), source=_NAME)


def _zip_reader(path: Path) -> ReadFile:
    def read_member(name: str) -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.read(_MEMBERS + name)
        except KeyError as error:
            raise SourceError(
                f"source 'movielens': {path} has no member {_MEMBERS + name}. Expected a RecBole 1.2.1 wheel."
            ) from error
        except (zipfile.BadZipFile, zlib.error, OSError) as error:
            raise SourceError(
                f"source 'movielens': {path} is not a whole zip file ({error}). Download it again."
            ) from error

    return read_member


def _tables(layout: Layout, read_file: ReadFile, *, name: str) -> Tables:
    raw = require_rows(layout.read_ratings(read_file), place=layout.ratings, source=_NAME)
    place = f"{_NAME} {layout.ratings}"
    rating = as_number(raw[RATING], pa.float64(), name=RATING, source=place)
    seconds = as_number(raw[TIMESTAMP], pa.int64(), name=TIMESTAMP, source=place)
    moments = pc.multiply(seconds, 1_000_000).cast(pa.timestamp("us"))
    rows = {USER_ID: raw[USER_ID], ITEM_ID: raw[ITEM_ID], TIMESTAMP: moments, RATING: rating}
    interactions = normalise(pa.table(rows), source=place)
    items = layout.read_items(read_file)
    items = items.append_column(SURFACE, pa.repeat("video", items.num_rows))
    users = layout.read_users(read_file) if layout.read_users else None
    return Tables(
        name=name,
        interactions=interactions,
        items=normalise_items(items, interactions, source=f"{_NAME} {layout.items}"),
        users=normalise_users(users, interactions, source=f"{_NAME} {layout.users}"),
        terms=TERMS,
        notes=_NOTES,
    )
