import gzip

import pyarrow.compute as pc
import pytest

from recmodels.data.sources.parts import TEST_FROM, VALIDATION_FROM, read
from recmodels.data.splits import split_interactions
from recmodels.errors import SourceError
from recmodels.recipe import DataConfig, SplitConfig

ROWS = "split,user,item\ntrain,a,1\ntest,a,3\ntrain,a,2\nvalid,a,1\ntrain,b,3\nvalid,b,2\ntest,b,9\n"


def test_the_published_parts_are_given_back_when_the_split_is_by_their_days(tmp_path):
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    tables = read(tmp_path)
    cuts = SplitConfig(validation_from=VALIDATION_FROM, test_from=TEST_FROM)
    split = split_interactions(tables.interactions, tables.items, data=DataConfig(), split=cuts)
    ids = split.vocabulary.ids
    assert {user: sorted(ids[split.train.row(n) - 2]) for n, user in enumerate(split.train_user_ids)} == {
        "a": ["1", "2"],
        "b": ["3"],
    }
    assert ids[split.validation.targets.items[split.validation.targets.positions()] - 2].tolist() == ["1", "2"]
    assert split.test.unknown_targets == 1


def test_columns_have_other_names_when_they_are_given(tmp_path):
    (tmp_path / "e.csv").write_text("who,what,part\nu,i,train\nu,j,test\n")
    rows = read(tmp_path / "e.csv", user="who", item="what", part="part").interactions
    days = pc.days_between(rows["timestamp"][0], rows["timestamp"][1]).as_py()
    assert (rows["item_id"].to_pylist(), days) == (["i", "j"], 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"split,user,item\ndev,a,1\n", "1 rows whose 'split' is none of train, valid, test, first 'dev'"),
        (b"user,item\na,1\n", "split"),
    ],
)
def test_a_file_is_refused_when_a_part_is_not_known(tmp_path, content, words):
    (tmp_path / "e.csv").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read(tmp_path / "e.csv")


def test_a_file_is_refused_when_its_compression_is_cut_short(tmp_path):
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress(ROWS.encode() * 50)[:-20])
    with pytest.raises(SourceError, match="is not a whole gzip file"):
        read(tmp_path)
