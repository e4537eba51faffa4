"""Suites from files that somebody named: run, held to the contract, and known by their digest."""

from pathlib import Path

import pytest

from monitoring.own_suites import CATALOGUE, Suites, load_suites
from monitoring.proposal import propose
from monitoring.quality import QualityConfig, validate
from recmodels.errors import DataError
from tests.monitoring.sample_tables import context, sample

CONFIG = QualityConfig()


@pytest.fixture
def proposed(tmp_path: Path) -> Path:
    """A folder with one proposed suite, which takes the surface `video` alone."""
    (tmp_path / "interactions.py").write_text(propose(sample("interactions"), "interactions"))
    return tmp_path


def test_rows_are_held_to_the_named_suite_when_there_is_one(proposed: Path) -> None:
    suites = load_suites([proposed])
    table = sample("interactions", {3: {"surface": "live"}})
    assert validate(table, name="interactions", context=context()).reasons == {}
    report = validate(table, name="interactions", context=context(), suites=suites)
    assert report.reasons == {"surface is not one of video": 1}
    assert validate(sample("items"), name="items", context=context(), suites=suites).passed


def test_the_digest_differs_when_a_rule_a_limit_or_a_file_does(proposed: Path) -> None:
    file = proposed / "interactions.py"
    digests = {CATALOGUE.digest(CONFIG), load_suites([file]).digest(CONFIG)}
    digests.add(CATALOGUE.digest(QualityConfig(volume_low=0.4)))
    assert CATALOGUE.digest(CONFIG) == Suites().digest(QualityConfig())
    file.write_text(file.read_text().replace("('video',)", "('video', 'live')"))
    digests.add(load_suites([file]).digest(CONFIG))
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {16}


def test_a_suite_is_refused_when_it_is_not_what_was_named(proposed: Path) -> None:
    named = load_suites([proposed]).files
    assert load_suites(named, expected=named).files == named
    (proposed / "interactions.py").write_text("suite = None")
    with pytest.raises(DataError, match="is not the suite that was used when this home's data was ingested"):
        load_suites(named, expected=named)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("interaction.py", "", r"not named for a table\. Call it one of: impressions\.py, interactions\.py"),
        ("interactions.txt", "", "not named for a table"),
        ("interactions.py", "1 / 0", "cannot be run: ZeroDivisionError: division by zero"),
        ("interactions.py", "def suite(:", "cannot be run: SyntaxError"),
        ("interactions.py", "import nothing_of_this_name", "cannot be run: ModuleNotFoundError"),
        ("interactions.py", "suites = 1", r"has no function `suite\(context\)`"),
    ],
)
def test_a_file_is_refused_with_its_reason_when_it_is_no_suite(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=message):
        load_suites([tmp_path / file])


def test_a_suite_is_refused_when_it_is_of_another_table(tmp_path: Path) -> None:
    (tmp_path / "interactions.py").write_text("from monitoring.expectations.items import suite")
    with pytest.raises(DataError, match="not a Suite over the contract's columns"):
        load_suites([tmp_path]).build("interactions", context())


def test_suites_are_refused_when_they_are_missing_or_two_for_a_table(proposed: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_suites([tmp_path / "nothing.py"])
    other = tmp_path / "other"
    other.mkdir()
    (other / "interactions.py").write_text((proposed / "interactions.py").read_text())
    with pytest.raises(DataError, match="is the second suite for 'interactions'"):
        load_suites([proposed, other])
