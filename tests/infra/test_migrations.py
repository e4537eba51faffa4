"""Databases of every released schema, with rows in every table, brought to the newest one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    MetaData,
    Table,
    inspect,
    make_url,
    select,
    text,
)

import infra.database
import tests.infra.test_database  # noqa: F401 - which imports every store, and so its tables
from infra.columns import metadata
from infra.database import Database, _engine, known_versions, open_database

_FOLDER = Path(infra.database.__file__).parent / "migrations"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An open database of each kind, without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'everfeed.db'}"
    else:
        url = request.getfixturevalue("fresh_postgresql")
    opened = Database(_engine(make_url(url), is_synced=True))
    yield opened
    opened.close()


def migrate(connection: Connection, version: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER))
    command.upgrade(config, version)


def value_of(column: Any, *, number: int) -> Any:
    """A value for any column: 1 and then 2, or the like."""
    if isinstance(column.type, JSON):
        return {"number": number, "words": 'a "quoted" \\ word'}
    if isinstance(column.type, Boolean):
        return number == 1
    if isinstance(column.type, (Integer, BigInteger)):
        return 1_772_366_400_000_000 + number if isinstance(column.type, BigInteger) else number
    return number / 4 if isinstance(column.type, Float) else f"{column.name} {number} ü"


def fill(connection: Connection) -> dict[str, list[Any]]:
    """Write two rows into every table, parents first, and return what stands there."""
    found = MetaData()
    found.reflect(connection)
    rows = {}
    for table in (one for one in found.sorted_tables if one.name != "alembic_version"):
        for number in (1, 2):
            connection.execute(table.insert(), row_of(table, number))
        rows[table.name] = [
            dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))
        ]
    return rows


def row_of(table: Table, number: int) -> dict[str, Any]:
    counting = {column.name for column in table.primary_key if column.name in {"id", "batch"}}
    row = {column.name: value_of(column, number=number) for column in table.c if column.name not in counting}
    return row | dict.fromkeys(counting, number)


def newest(connection: Connection, table: str, columns: list[str]) -> list[Any]:
    found = Table(table, MetaData(), autoload_with=connection)
    query = select(*[found.c[name] for name in columns]).order_by(*found.primary_key)
    return [dict(row._mapping) for row in connection.execute(query)]


OLDEST, *MIDDLE, NEWEST = known_versions()


@pytest.mark.parametrize("version", [OLDEST, *(pytest.param(one, marks=pytest.mark.slow) for one in MIDDLE), NEWEST])
def test_every_row_is_there_when_an_older_schema_is_opened(empty: Database, version: str) -> None:
    with empty.begin() as connection:
        migrate(connection, version)
        before = fill(connection)
    assert empty.schema_version() == version

    url = empty.engine.url.set(drivername=empty.engine.dialect.name).render_as_string(hide_password=False)
    opened = open_database(url)
    with opened.read() as connection:
        assert {name: newest(connection, name, list(rows[0])) for name, rows in before.items()} == before
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    opened.close()
    assert len(before) >= 10
