"""All drift checks of the catalogue, run over one pair of windows."""

from collections.abc import Mapping
from typing import Protocol, cast

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from monitoring.drift import CHECKS
from monitoring.result import CheckResult
from recmodels.errors import RecipeError


class Check(Protocol):
    """What the module of a drift check defines as `check`."""

    def __call__(
        self, reference: pa.Table, current: pa.Table, *, items: pa.Table, config: BaseModel
    ) -> list[CheckResult]:
        """Compare `current` with `reference`."""
        ...


def run_checks(
    reference: pa.Table,
    current: pa.Table,
    *,
    items: pa.Table,
    options: Mapping[str, Mapping[str, object]] | None = None,
) -> list[CheckResult]:
    """Run every drift check.

    Args:
        reference: Past events, in the schema `INTERACTIONS`.
        current: Newer events.
        items: The items, in the schema `ITEMS`.
        options: Options by name of the check; a check that is not named has its defaults.

    Returns:
        The results of all checks, check by check in alphabetical order.

    Raises:
        UnknownNameError: `options` names a check that does not exist.
        RecipeError: An option is unknown or out of its range.
    """
    given = {name: config_of(name, values) for name, values in (options or {}).items()}
    results: list[CheckResult] = []
    for name in CHECKS.names():
        check = cast("Check", CHECKS.get(name))
        config = given[name] if name in given else config_of(name, {})
        results += check(reference, current, items=items, config=config)
    return results


def config_of(name: str, options: Mapping[str, object]) -> BaseModel:
    """Return the validated options of the check called `name`.

    Raises:
        UnknownNameError: No check has this name.
        RecipeError: An option is unknown or out of its range.
    """
    config: type[BaseModel] = CHECKS.module(name).Config
    try:
        return config.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(
            f"drift check {name!r}, option {where!r}: {first['msg']}. Known options: {', '.join(config.model_fields)}."
        ) from error
