"""`python -m infra.container PROGRAM ...`: what a container starts with, so that secrets are files and not variables.

The settings, those of the folder EVERFEED_SECRETS_DIR too, become the variables that Prefect, MLflow and boto3 read;
then the program takes this process's place. ``migrate`` instead of one brings Everfeed's own tables to the schema.
"""

import os
import sys
from typing import NoReturn

from infra.settings import Settings
from recmodels.errors import EverfeedError

_MIGRATE = "migrate"


def main() -> NoReturn:
    """Become the program that the command line names; exit with 2 where there is none or a setting is wrong."""
    program = sys.argv[1:]
    if not program:
        sys.exit("name a program to start, such as `mlflow server`, or `migrate`.")
    settings = Settings()
    try:
        if program == [_MIGRATE]:
            sys.exit(_migrate(settings))
        variables = settings.environment() | dict(os.environ)
    except EverfeedError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    try:
        os.execvpe(program[0], program, variables)  # noqa: S606 - no shell; the image says what it starts
    except FileNotFoundError:
        sys.stderr.write(f"this image has no program {program[0]!r}: the gateway's has python alone.\n")
        sys.exit(2)


def _migrate(settings: Settings) -> int:
    from infra.database import open_database

    database = open_database(settings.database)
    sys.stdout.write(f"the tables have schema {database.schema_version()}\n")
    database.close()
    return 0


if __name__ == "__main__":
    main()
