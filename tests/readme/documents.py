"""What the README and the pages of docs/ tell people to type, and what they lead to.

Commands stand in fenced blocks, in lines that are indented by four, and in `code` within prose. Beside the shell's own
words a few signs are read as people read them: ``[--all]`` may be left out, ``a | b`` and ``a|b`` are one of each,
``...`` stands for the rest of a command, and words in CAPITALS for values.
"""

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
RECORDS = (ROOT / "docs" / "log.md", ROOT / "docs" / "status.md")
"""Pages that say what was typed once, or what is not there yet; their commands are not for today."""
PROGRAMS = ("everfeed", "make", "python")
"""What a checked command begins with; a block in which one of them stands is one of commands."""

_FENCE = re.compile(r"^```(\w*)\s*$")
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ASSIGNMENT = re.compile(r"^[A-Z][A-Z0-9_]*=")
_ONE_OF = re.compile(r"^[a-z-]+(\|[a-z-]+)+$")
_VARIABLE = re.compile(r"\bEVERFEED_[A-Z0-9]+(?:_[A-Z0-9]+)*")
_VALUES = {"VERSION": "3", "N": "3", "adaptation.parent=DIGEST": f"adaptation.parent={'0' * 64}"}
"""Values of placeholders whose form a parser checks."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its lines with the number of the first."""

    page: Path
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its lines, joined."""
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Command:
    """A command that a page tells people to type.

    Attributes:
        page: Where.
        line: Its line there; of prose the paragraph's first.
        words: The program and its arguments.
        is_whole: Nothing was left out, so that it can be run as it stands.
        environment: Variables that are set before it.
    """

    page: Path
    line: int
    words: tuple[str, ...]
    is_whole: bool
    environment: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line} {shlex.join(self.words)}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            opened, lines = (number + 1, fence[1]), []
        elif fence and opened is not None:
            yield Block(page, *opened, tuple(lines))
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"{page}: the block of line {opened} has no end"


def paragraphs(page: Path) -> Iterator[tuple[int, str]]:
    """Yield what stands outside fenced blocks, by paragraphs, with the number of the first line of each."""
    start, kept, is_fenced = 1, list[str](), False
    for number, line in enumerate([*page.read_text().splitlines(), ""], start=1):
        is_fence = bool(_FENCE.match(line))
        if not (is_fenced or is_fence) and line.strip():
            kept.append(line)
            continue
        if kept:
            yield start, "\n".join(kept)
        start, kept, is_fenced = number + 1, [], is_fenced != is_fence


def spans(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the `code` of a page's prose."""
    for line, text in paragraphs(page):
        for span in _SPAN.finditer(text):
            yield line, " ".join(span[1].split())


def commands(page: Path) -> Iterator[Command]:
    """Yield what a page tells people to type, of the programs that are checked."""
    for block in blocks(page):
        yield from typed(block)
    for line, text in paragraphs(page):
        if text.startswith("    "):
            yield from _split(page, line, text.replace("\\\n", " "), is_whole=True)
    for line, span in spans(page):
        yield from _split(page, line, span, is_whole=False)


def typed(block: Block) -> Iterator[Command]:
    """Yield the commands of a block, if it is one of commands."""
    if block.language not in {"", "sh"}:
        return
    number, kept = block.line, ""
    for offset, line in enumerate(block.lines):
        kept += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield from _split(block.page, number, kept, is_whole=True)
            number, kept = block.line + offset + 1, ""


def links(page: Path) -> Iterator[str]:
    """Yield where a page's links lead."""
    for _, text in paragraphs(page):
        yield from (link[1] for link in _LINK.finditer(_SPAN.sub("", text)))


def variables(page: Path) -> set[str]:
    """Return the variables of ours that a page names."""
    return set(_VARIABLE.findall(page.read_text()))


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    found = (text.splitlines()[0] for _, text in paragraphs(page) if text.startswith("#"))
    plain = (re.sub(r"[^\w\s-]", "", heading.lstrip("#")).strip().lower() for heading in found)
    return {re.sub(r"\s", "-", heading) for heading in plain}


def imports(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of every import in a block of Python; one that is no Python is refused."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", name.name) for name in node.names)


def _split(page: Path, line: int, text: str, *, is_whole: bool) -> Iterator[Command]:
    """Yield the commands of a line of the shell that begin with a checked program."""
    if not any(program in text for program in PROGRAMS):
        return
    try:
        words = shlex.split(text.strip(), comments=True)
    except ValueError:  # an apostrophe: prose rather than a command
        return
    for part in _parts(words):
        environment = dict(word.split("=", 1) for word in _leading(part))
        command = part[len(environment) :]
        if command[:1] == ["..."]:
            command = command[1:]
        if command and command[0] in PROGRAMS:
            for one in _alternatives(command):
                read = [_VALUES.get(word, word) for word in map(_plain, one)]
                kept = [word for place, word in enumerate(read) if word != "..." or _is_option(read[place - 1])]
                yield Command(page, line, tuple(kept), is_whole and kept == read, environment)


def _is_option(word: str) -> bool:
    return word.startswith("--")


def _parts(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield commands that are joined by ``&&`` or ``;``."""
    part: list[str] = []
    for word in words:
        if word in {"&&", ";"}:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _leading(words: Sequence[str]) -> list[str]:
    """Return the variables that are set before a command."""
    found = []
    for word in words:
        if not _ASSIGNMENT.match(word):
            break
        found.append(word)
    return found


def _plain(word: str) -> str:
    """Return a word without the brackets of what may be left out."""
    return word.strip("[]") if re.fullmatch(r"\[?[\w.-]+\]?", word) else word


def _alternatives(words: Sequence[str]) -> list[list[str]]:
    """Return the commands that `a | b` or `a|b` stand for."""
    joined: list[str] = []
    for word in words:
        if joined and (word == "|" or joined[-1].endswith("|")):
            joined[-1] += word
        else:
            joined.append(word)
    for place, word in enumerate(joined):
        if _ONE_OF.match(word):
            return [[*joined[:place], one, *joined[place + 1 :]] for one in word.split("|")]
    return [joined]
