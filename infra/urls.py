"""URLs of stores as people write them: shown without their password, and with the driver that a library is to use."""

import re
from typing import Final

POSTGRESQL_DRIVER: Final = "pg8000"
"""Driver of whatever speaks to PostgreSQL from a thread; under a permissive licence, and in Python alone."""

ASYNCIO_DRIVER: Final = "asyncpg"
"""Driver of Prefect's server, which brings it along."""


def without_password(url: str) -> str:
    """Return a URL that may be shown; a password may itself hold an @."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)


def with_driver(url: str, driver: str) -> str:
    """Return the URL of a PostgreSQL database for SQLAlchemy with the driver named; any other URL as it is."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", f"postgresql+{driver}://", url)
