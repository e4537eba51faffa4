"""The layouts in which MovieLens is published: which files each has and how their columns are named."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.schema import CATEGORY, ITEM_ID, PUBLISHED_AT, RATING, TEXT, TIMESTAMP, USER_ID
from recmodels.data.sources._files import read_text_table, require_columns
from recmodels.errors import SourceError

RECBOLE_SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
_NAME = "movielens"
_GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

ReadFile = Callable[[str], bytes]
"""A file's name -> its bytes."""


@dataclass(frozen=True)
class Layout:
    """One of MovieLens's own ways to write its three tables.

    Attributes:
        name: Name of the data set, or empty to take the folder's.
        ratings: File whose presence tells the layout.
        read_ratings: Bytes by file name -> user_id, item_id, rating, timestamp as text.
        read_items: Bytes by file name -> item_id, text, category, published_at.
        read_users: Bytes by file name -> user_id and attributes, or None where the layout has no users.
        items: File of the items.
        users: File of the users, or empty.
    """

    name: str
    ratings: str
    items: str
    users: str
    read_ratings: Callable[[ReadFile], pa.Table]
    read_items: Callable[[ReadFile], pa.Table]
    read_users: Callable[[ReadFile], pa.Table] | None


def _ratings_100k(read_file: ReadFile) -> pa.Table:
    names = [USER_ID, ITEM_ID, RATING, TIMESTAMP]
    return read_text_table(read_file("u.data"), place="u.data", source=_NAME, delimiter="\t", names=names)


def _items_100k(read_file: ReadFile) -> pa.Table:
    names = [ITEM_ID, TEXT, "released", "video_released", "url", *_GENRES]
    table = read_text_table(
        read_file("u.item"),
        place="u.item",
        source=_NAME,
        delimiter="|",
        names=names,
        encoding="latin1",
        is_quoted=False,
    )
    flags = [pc.if_else(pc.equal(table[genre], "1"), genre, pa.scalar(None, pa.string())) for genre in _GENRES]
    category = pc.binary_join_element_wise(*flags, "|", null_handling="skip")
    released = pc.strptime(table["released"], format="%d-%b-%Y", unit="us", error_is_null=True)
    return _item_rows(table[ITEM_ID], _untitled(table[TEXT]), category, released)


def _users_100k(read_file: ReadFile) -> pa.Table:
    names = [USER_ID, "age", "gender", "occupation", "zip_code"]
    table = read_text_table(read_file("u.user"), place="u.user", source=_NAME, delimiter="|", names=names)
    return table.drop_columns(["zip_code"])


def _ratings_1m(read_file: ReadFile) -> pa.Table:
    return _double_colons(read_file, "ratings.dat", [USER_ID, ITEM_ID, RATING, TIMESTAMP])


def _items_1m(read_file: ReadFile) -> pa.Table:
    table = _double_colons(read_file, "movies.dat", [ITEM_ID, TEXT, CATEGORY])
    return _item_rows(table[ITEM_ID], _untitled(table[TEXT]), table[CATEGORY], _year_in(table[TEXT]))


def _users_1m(read_file: ReadFile) -> pa.Table:
    table = _double_colons(read_file, "users.dat", [USER_ID, "gender", "age", "occupation", "zip_code"])
    return table.drop_columns(["zip_code"])


def _double_colons(read_file: ReadFile, name: str, names: list[str]) -> pa.Table:
    content = read_file(name).replace(b"::", b"\x1f")
    return read_text_table(
        content, place=name, source=_NAME, delimiter="\x1f", names=names, encoding="latin1", is_quoted=False
    )


def _ratings_csv(read_file: ReadFile) -> pa.Table:
    table = read_text_table(read_file("ratings.csv"), place="ratings.csv", source=_NAME)
    expected = ["userId", "movieId", "rating", "timestamp"]
    chosen = require_columns(table, expected, place="ratings.csv", source=_NAME)
    return chosen.rename_columns([USER_ID, ITEM_ID, RATING, TIMESTAMP])


def _items_csv(read_file: ReadFile) -> pa.Table:
    table = read_text_table(read_file("movies.csv"), place="movies.csv", source=_NAME)
    chosen = require_columns(table, ["movieId", "title", "genres"], place="movies.csv", source=_NAME)
    genres = pc.if_else(pc.equal(chosen["genres"], "(no genres listed)"), None, chosen["genres"])
    return _item_rows(chosen["movieId"], _untitled(chosen["title"]), genres, _year_in(chosen["title"]))


def _recbole(read_file: ReadFile, ending: str) -> pa.Table:
    """Read one of RecBole's files, whose header names each column with its type, as in ``user_id:token``."""
    content = read_file(f"ml-100k.{ending}")
    if ending == "inter" and hashlib.sha256(content).hexdigest() != RECBOLE_SHA256:
        raise SourceError(
            f"source 'movielens': ml-100k.inter has SHA-256 {hashlib.sha256(content).hexdigest()}, expected "
            f"{RECBOLE_SHA256}. The file was altered: take it from the RecBole 1.2.1 wheel again."
        )
    table = read_text_table(content, place=f"ml-100k.{ending}", source=_NAME, delimiter="\t", is_quoted=False)
    return table.rename_columns([name.partition(":")[0] for name in table.column_names])


def _ratings_recbole(read_file: ReadFile) -> pa.Table:
    return _recbole(read_file, "inter")


def _items_recbole(read_file: ReadFile) -> pa.Table:
    table = _recbole(read_file, "item")
    expected = [ITEM_ID, "movie_title", "release_year", "class"]
    table = require_columns(table, expected, place="ml-100k.item", source=_NAME)
    category = pc.replace_substring(table["class"], " ", "|")
    titles = table["movie_title"]
    released = pc.coalesce(_first_of_january(table["release_year"]), _year_in(titles))
    return _item_rows(table[ITEM_ID], _untitled(titles), category, released)


def _users_recbole(read_file: ReadFile) -> pa.Table:
    table = _recbole(read_file, "user")
    return require_columns(table, [USER_ID, "age", "gender", "occupation"], place="ml-100k.user", source=_NAME)


def _item_rows(
    ids: pa.ChunkedArray, text: pa.ChunkedArray, category: pa.ChunkedArray, published_at: pa.ChunkedArray
) -> pa.Table:
    return pa.table({ITEM_ID: ids, TEXT: text, CATEGORY: category, PUBLISHED_AT: published_at})


def _untitled(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(titles, pattern=r"\s*\(\d{4}\)\s*$", replacement="")


def _year_in(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    return _first_of_january(pc.struct_field(pc.extract_regex(titles, pattern=r"\((?P<year>\d{4})\)\s*$"), "year"))


def _first_of_january(years: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read years; what is not a year of four digits becomes null (RecBole's ML-100K has two such films)."""
    return pc.strptime(years, format="%Y", unit="us", error_is_null=True)


RECBOLE = Layout(
    "ml-100k", "ml-100k.inter", "ml-100k.item", "ml-100k.user", _ratings_recbole, _items_recbole, _users_recbole
)
LAYOUTS = (
    Layout("ml-100k", "u.data", "u.item", "u.user", _ratings_100k, _items_100k, _users_100k),
    Layout("ml-1m", "ratings.dat", "movies.dat", "users.dat", _ratings_1m, _items_1m, _users_1m),
    Layout("", "ratings.csv", "movies.csv", "", _ratings_csv, _items_csv, None),
    RECBOLE,
)
