from sqlalchemy import select

from infra.database import Database
from infra.event_records import user_keys


def rows(start: int, end: int) -> list[dict[str, str]]:
    return [{"user_key": f"key-{number}", "user_id": f"it's {number}"} for number in range(start, end)]


def test_keeps_every_row_when_they_take_several_statements(database: Database) -> None:
    with database.begin() as connection:
        assert database.insert_new_plain(connection, user_keys, rows(0, 10_001)) == 10_001

    with database.read() as connection:
        kept = connection.execute(select(user_keys.c.user_key, user_keys.c.user_id)).tuples().all()
    assert dict(kept) == {row["user_key"]: row["user_id"] for row in rows(0, 10_001)}


def test_passes_over_rows_that_are_there_and_counts_the_new_ones(database: Database) -> None:
    with database.begin() as connection:
        database.insert_new_plain(connection, user_keys, rows(0, 10))
        changed = [{**row, "user_id": "another"} for row in rows(5, 15)]
        assert database.insert_new_plain(connection, user_keys, changed) == 5

    with database.read() as connection:
        query = select(user_keys.c.user_id).where(user_keys.c.user_key == "key-5")
        assert connection.execute(query).scalar_one() == "it's 5"


def test_every_text_comes_back_as_it_was(database: Database) -> None:
    texts = [
        "",
        "NULL",
        "null",
        '"',
        "\\",
        '\\"',
        "{a,b}",
        "a,b",
        " ",
        "\n\t",
        "it's",
        "%s %(x)s :y ?",
        "ü 漢 👩‍🚀",
        "$1",
        "()",
    ]
    named = [{"user_key": f"key-{number}", "user_id": words} for number, words in enumerate(texts)]
    with database.begin() as connection:
        assert database.insert_new_plain(connection, user_keys, named) == len(texts)

    with database.read() as connection:
        kept = dict(connection.execute(select(user_keys.c.user_key, user_keys.c.user_id)).tuples().all())
    assert [kept[f"key-{number}"] for number in range(len(texts))] == texts
