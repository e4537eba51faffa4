"""Whether a command that a page shows exists: asked of the parsers themselves, nothing is run."""

import ast
import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from flows.cli import app
from recmodels.data.sources import SOURCES
from recmodels.presets import PRESETS
from recmodels.recipe import DataConfig, override
from tests.readme.documents import ROOT, Command

_TARGET = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)


def check(command: Command) -> None:
    """Refuse a command that does not exist, or does not take what it is given.

    Raises:
        Exception: Whatever the parser of the program says.
    """
    program, *arguments = command.words
    if program == "everfeed":
        _check_everfeed(arguments, is_whole=command.is_whole)
    elif program == "make":
        assert set(arguments) <= set(_TARGET.findall((ROOT / "Makefile").read_text())), "no such target"
    else:
        assert arguments[:1] == ["-m"], "python without -m"
        _check_module(arguments[1], arguments[2:])


def parameters(arguments: Sequence[str], *, is_whole: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the command that arguments of `everfeed` name, such as ``canary status``, and what its parser reads."""
    command: Any = _everfeed()
    context, names, left = None, list[str](), list(arguments)
    while True:
        try:
            context = command.make_context(command.name or "everfeed", list(left), parent=context)
        except Exception as error:  # the parser's own classes, which are private to typer
            if type(error).__name__ in {"MissingParameter", "NoArgsIsHelpError"} and not is_whole:
                return " ".join(names), {}
            raise
        if not hasattr(command, "commands"):
            return " ".join(names), dict(context.params)
        rest = [*context._protected_args, *context.args]  # as its own `invoke` joins them
        if not rest and command.invoke_without_command:
            return " ".join(names), dict(context.params)
        name, command, left = command.resolve_command(context, rest)
        names.append(name)


def leaves(command: Any = None, *names: str) -> Iterator[tuple[str, set[str]]]:
    """Yield every command of `everfeed`, such as ``canary status``, with its options."""
    command = command or _everfeed()
    if not hasattr(command, "commands"):
        yield " ".join(names), {option for parameter in command.params for option in parameter.opts}
        return
    for name, below in command.commands.items():
        yield from leaves(below, *names, name)


def _check_everfeed(arguments: Sequence[str], *, is_whole: bool) -> None:
    name, read = parameters(arguments, is_whole=is_whole)
    if source := read.get("source"):
        SOURCES.module(source)
    presets = read.get("preset") or []
    assert set(presets) <= set(PRESETS), f"no such preset: {presets}"
    if settings := [] if name.startswith("quarantine") else read.get("override"):
        override(PRESETS[(presets or ["sasrec"])[0]](DataConfig()), settings)


def _check_module(name: str, arguments: Sequence[str]) -> None:
    assert _file_of(name), f"no module {name}"
    options = {word.split("=")[0] for word in arguments if word.startswith("--")}
    if name.startswith("benchmarks."):
        assert options <= _options(name), f"{name} takes no {sorted(options - _options(name))}"
    if name == "pytest":
        assert options <= {"--full"}
        assert all((ROOT / word).exists() for word in arguments if not word.startswith("-")), "no such tests"


def _options(module: str) -> set[str]:
    """Return every option that a benchmark's source adds to its parser."""
    path = _file_of(module)
    assert path is not None
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    added = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    return {word.value for call in added for word in call.args if isinstance(word, ast.Constant)}


def _file_of(module: str) -> Path | None:
    """Return the file that ``python -m`` would run, without importing it."""
    own = ROOT.joinpath(*module.split("."))
    for path in (own.with_suffix(".py"), own / "__main__.py"):
        if path.exists():
            return path
    spec = None if own.parent != ROOT else importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin else None


@cache
def _everfeed() -> Any:
    return typer.main.get_command(app)
