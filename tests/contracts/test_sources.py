"""What every source plug-in keeps; a new one needs a small example here and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from recmodels.data.interactions import fingerprint, normalise
from recmodels.data.schema import INTERACTIONS, ITEMS, USERS, Tables
from recmodels.data.sources import SOURCES
from recmodels.errors import SourceError, UnknownNameError


@dataclass(frozen=True)
class Example:
    """A small data set of a source: what writes it, and the options that read it."""

    write: Callable[[Path], Path]
    options: dict[str, object]


def _movielens(folder: Path) -> Path:
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,3,4.5,964981247\n1,4,2,964981248\n2,3,5,964981250\n"
    )
    (folder / "movies.csv").write_text("movieId,title,genres\n3,Heat (1995),Action|Crime\n")
    return folder


def _kuairand(folder: Path) -> Path:
    header = (
        "user_id,video_id,time_ms,tab,play_time_ms,duration_ms,"
        "is_click,is_like,is_forward,is_follow,is_comment,is_hate,long_view"
    )
    rows = ["7,1,1650860000123,1,500,1000,1,0,0,0,0,0,1", "8,2,1650860000200,4,0,1000,0,0,0,0,0,1,0"]
    (folder / "log_standard.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def _parts(folder: Path) -> Path:
    (folder / "p.csv").write_text("split,user,item\ntrain,1,5\nvalid,1,6\ntest,1,7\n")
    return folder / "p.csv"


def _sequences(folder: Path) -> Path:
    (folder / "s.txt").write_text("1 5 6 7\n2 6 5\n")
    return folder / "s.txt"


def _table(folder: Path) -> Path:
    (folder / "e.csv").write_text("user_id,item_id,timestamp,liked\n1,a,5,1\n2,b,6,0\n")
    return folder / "e.csv"


EXAMPLES = {
    "kuairand": Example(_kuairand, {}),
    "movielens": Example(_movielens, {}),
    "parts": Example(_parts, {}),
    "sequences": Example(_sequences, {}),
    "synthetic": Example(lambda folder: folder, {"users": 20, "items": 30, "days": 3}),
    "table": Example(_table, {"timestamp_unit": "s"}),
}
NAMES = SOURCES.names()
FROM_FILES = [name for name in NAMES if name != "synthetic"]


def read(name: str, path: Path, **options: object) -> Tables:
    plugin: Any = SOURCES.get(name)
    found = plugin(path, **options)
    assert isinstance(found, Tables)
    return found


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tables(name: str, tmp_path: Path) -> Tables:
    example = EXAMPLES[name]
    return read(name, example.write(tmp_path), **example.options)


def test_every_source_has_an_example_here() -> None:
    assert set(NAMES) == set(EXAMPLES)


def test_the_tables_have_the_contract_s_schemas(tables: Tables) -> None:
    assert tables.interactions.schema.equals(INTERACTIONS)
    assert tables.items.schema.equals(ITEMS)
    assert tables.users.schema.names[: len(USERS)] == USERS.names
    assert all(str(field.type) == "string" for field in list(tables.users.schema)[len(USERS) :])
    assert tables.interactions.num_rows > 0


def test_every_item_and_user_of_the_interactions_stands_in_its_table_once(tables: Tables) -> None:
    for rows, column in ((tables.items, "item_id"), (tables.users, "user_id")):
        assert pc.all(pc.is_in(tables.interactions[column], value_set=rows[column].combine_chunks())).as_py()
        assert pc.count_distinct(rows[column]).as_py() == rows.num_rows


def test_event_ids_are_unique_and_no_required_value_is_null(tables: Tables) -> None:
    assert pc.count_distinct(tables.interactions["event_id"]).as_py() == tables.interactions.num_rows
    for field in INTERACTIONS:
        assert field.nullable or tables.interactions[field.name].null_count == 0


def test_the_name_and_the_notes_are_given(tables: Tables) -> None:
    assert tables.name
    assert all(note.strip() for note in tables.notes)


def test_normalising_the_result_changes_nothing(tables: Tables) -> None:
    assert normalise(tables.interactions, source="test").equals(tables.interactions)


def test_reading_twice_gives_the_same_tables(name: str, tables: Tables, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    again = read(name, example.write(tmp_path), **example.options)
    assert fingerprint(again.interactions) == fingerprint(tables.interactions)
    assert again.items.equals(tables.items)
    assert again.users.equals(tables.users)


def test_an_unknown_option_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    known = ", ".join(SOURCES.module(name).Options.model_fields) or "none"
    with pytest.raises(SourceError, match=rf"option 'colour': is unknown.*Options it takes: {known}"):
        read(name, example.write(tmp_path), **example.options, colour="red")


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_missing_path_is_refused_with_what_lies_beside_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "present.txt").touch()
    with pytest.raises(SourceError, match=r"nowhere does not exist.*holds: present\.txt"):
        read(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", FROM_FILES)
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing"):
        read(name, tmp_path)


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'movielens'"):
        SOURCES.get("movielense")
