"""What README.md and docs/ tell people to type exists, and what they name is there; nothing is run."""

import json
import re
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.readme.documents import PAGES, RECORDS, ROOT, blocks, commands, headings, imports, links, spans, variables
from tests.readme.interfaces import check, leaves, parameters
from tests.readme.test_own_data import COMMANDS, SAYS

MISSPELT = {"EVERFEED_GATEWAY_PROT"}
"""Named as an example of what is refused."""

_FOLDERS = ("benchmarks", "docs", "flows", "infra", "monitoring", "recmodels", "tests")
_PLACEHOLDER = re.compile(r"<\w+>|\b[A-Z]{2,}\b|\.\.\.")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_every_command_exists_and_takes_what_it_is_given(page: Path) -> None:
    if page in RECORDS:
        pytest.skip("a record of what was")
    wrong = []
    for command in commands(page):
        try:
            check(command)
        except Exception as error:  # noqa: BLE001 - a door: every parser has errors of its own
            wrong.append(f"{command}: {getattr(error, 'message', '') or error}")
    assert not wrong, "\n".join(wrong)


@pages
def test_every_variable_is_a_setting(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables(page):
        monkeypatch.setenv(name, "")
    assert set(Settings.unknown_variables()) <= MISSPELT


@pages
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    wrong = []
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            wrong.append(link)
    assert not wrong


@pages
def test_every_path_of_the_project_that_is_named_exists(page: Path) -> None:
    if page in RECORDS:
        pytest.skip("a record of what was")
    words = [word for _, span in spans(page) for word in span.split()]
    words += [word for block in blocks(page) for line in block.lines for word in line.split()]
    paths = [word.rstrip(":,") for word in words if word.startswith(tuple(f"{folder}/" for folder in _FOLDERS))]
    wrong = [path for path in paths if not _exists(path)]
    assert not wrong


@pages
def test_every_block_of_json_and_python_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text if block.text.startswith("{") else f"{{{block.text}}}")
        if block.language == "python":
            for module, name in imports(block):
                path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
                assert path.exists(), module
                assert re.search(rf"^(def|class) {name}\b", path.read_text(), re.MULTILINE), f"{module}.{name}"


def test_every_command_takes_json() -> None:
    assert [name for name, options in leaves() if "--json" not in options] == []


def test_every_command_is_told_of_somewhere() -> None:
    told = {command.words[1:] for page in PAGES for command in commands(page) if command.words[0] == "everfeed"}
    names = {" ".join(words[:length]) for words in told for length in (1, 2, 3)}
    assert {name for name, _ in leaves()} - names == set()


def test_every_command_that_is_run_has_words_to_say() -> None:
    assert {parameters(line.words[1:], is_whole=False)[0] for line in COMMANDS} <= SAYS.keys()


def test_the_readme_leads_to_every_page() -> None:
    reached = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md") if "://" not in link}
    assert not set((ROOT / "docs").glob("*.md")) - reached - set(RECORDS)


def _exists(path: str) -> bool:
    """Return whether a path is there; of one with a placeholder, what stands before it."""
    placeholder = _PLACEHOLDER.search(path)
    place = path[: placeholder.start()].rpartition("/")[0] if placeholder else path
    return any(ROOT.glob(place.rstrip("/"))) if "*" in place else (ROOT / place).exists()
