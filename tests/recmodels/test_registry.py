import sys
from pathlib import Path

import pytest

from recmodels.errors import UnknownNameError
from recmodels.registry import Registry


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A package of plug-ins on disk."""
    package = tmp_path / "orchard_of_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "pear.py").write_text("fruit = 'a pear'\n")
    (package / "apple.py").write_text("fruit = 'an apple'\n")
    (package / "bad.py").write_text("raise RuntimeError('imported too early')\n")
    (package / "empty.py").write_text("")
    (package / "_shared.py").write_text("fruit = 'not a plug-in'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("orchard_of_plugins", "fruit", "fruit")
    for name in [name for name in sys.modules if name.startswith("orchard_of_plugins")]:
        del sys.modules[name]


def test_names_are_the_public_modules_when_the_folder_is_listed(fruits):
    assert fruits.names() == ("apple", "bad", "empty", "pear")
    assert "orchard_of_plugins.bad" not in sys.modules


def test_name_is_known_when_a_file_is_added(fruits, tmp_path):
    (tmp_path / "orchard_of_plugins" / "plum.py").write_text("fruit = 'a plum'\n")
    assert "plum" in fruits.names()
    assert fruits.get("plum") == "a plum"


def test_plug_in_is_returned_when_its_name_is_asked_for(fruits):
    assert fruits.get("pear") == "a pear"
    assert fruits.module("apple").__name__ == "orchard_of_plugins.apple"


def test_unknown_name_is_answered_with_the_known_ones_when_nothing_is_near(fruits):
    with pytest.raises(UnknownNameError, match=r"^fruit 'kiwi' is not known\. Known: apple, bad, empty, pear\.$"):
        fruits.get("kiwi")


def test_unknown_name_is_answered_with_the_nearest_when_it_is_misspelt(fruits):
    with pytest.raises(UnknownNameError, match=r"Did you mean 'pear'\?"):
        fruits.module("paer")


@pytest.mark.parametrize("name", ["_shared", "../apple", "apple.fruit", ""])
def test_name_is_unknown_when_it_is_private_or_a_path(fruits, name):
    with pytest.raises(UnknownNameError):
        fruits.get(name)


def test_our_own_bug_is_an_assertion_when_a_module_lacks_the_object(fruits):
    with pytest.raises(AssertionError, match=r"orchard_of_plugins\.empty must define fruit"):
        fruits.get("empty")
