import numpy as np

from recmodels.content import ContentConfig
from recmodels.item_features import ItemReader
from tests.recmodels.worlds import full_items

ITEMS = full_items(
    {
        "i0": {"creator_id": "ann", "category": "drama|war", "text": "The long war"},
        "i1": {"creator_id": "drama", "category": "war"},
        "i2": {},
        "i3": {"category": "|".join(f"c{n}" for n in range(12)), "text": "The long day"},
    }
)


def test_items_share_a_label_when_a_creator_or_a_category_is_the_same():
    labels = ItemReader(ContentConfig(), ITEMS).read(ITEMS).labels
    assert (labels > 0).sum(axis=1).tolist() == [3, 2, 0, 8]
    assert labels[0, 2] == labels[1, 1]  # war
    assert labels[0, 1] != labels[1, 0]  # drama as a category and as a creator
    assert labels.max() <= 4096


def test_texts_are_vectors_of_the_catalogues_encoder_when_items_are_read():
    reader = ItemReader(ContentConfig(text_config={"embedding_dim": 64}), ITEMS)
    texts = reader.read(ITEMS).texts
    assert texts.shape == (4, 64)
    assert texts[0] @ texts[3] > 0.2
    assert not texts[[1, 2]].any()
    np.testing.assert_array_equal(reader.read(ITEMS.slice(3)).texts, texts[3:])


def test_there_is_no_text_when_none_is_wanted():
    assert ItemReader(ContentConfig(text=None), ITEMS).read(ITEMS).texts.shape == (4, 0)
