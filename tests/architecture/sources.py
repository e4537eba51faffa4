"""The project's own files, as the architecture tests read them."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("flows", "infra", "monitoring", "recmodels")


@dataclass(frozen=True)
class Module:
    """One module: its path below the repository, and its syntax tree."""

    path: str
    tree: ast.Module

    def walk(self) -> Iterator[ast.AST]:
        """Every node of the module."""
        return ast.walk(self.tree)

    def imports(self, *, is_top_level: bool = False) -> Iterator[str]:
        """Dotted names of what is imported: anywhere, or when the module is imported."""
        for node in _top_level(self.tree) if is_top_level else self.walk():
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module

    def calls(self) -> Iterator[ast.Call]:
        """Every call."""
        return (node for node in self.walk() if isinstance(node, ast.Call))


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the four packages."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(Module(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in paths)


def project_files() -> list[str]:
    """Every file that is, or would be, kept under version control."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: which files belong to the project is known to version control alone")
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of attributes, and an empty text for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _top_level(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when a module is imported, without the blocks that only type checkers read."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)
