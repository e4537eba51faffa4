import pytest
from pydantic import ValidationError

from recmodels.content import CONTENT, ContentConfig


def test_the_encoders_are_listed_when_asked():
    assert CONTENT.names() == ("hashed", "sentences")


def test_defaults_are_filled_in_when_fields_are_left_out():
    given = ContentConfig(text_config={"buckets": 64})
    assert given.text_config == {"embedding_dim": 256, "buckets": 64, "words": 2, "letters": [3, 4]}
    assert ContentConfig.model_validate(given.model_dump(mode="json")) == given
    assert ContentConfig(text=None).text_config == {}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"text": "hash"}, r"text encoder 'hash' is not known. Did you mean 'hashed'\? Known: hashed, sentences"),
        ({"text_config": {"bucket": 3}}, "text encoder 'hashed': field 'bucket' is not known. Did you mean 'buckets'"),
        ({"text_config": {"letters": [0]}}, "letters.0: Input should be greater than or equal to 1, got 0"),
    ],
)
def test_a_configuration_is_refused_with_what_is_known_when_it_is_not_valid(values, words):
    with pytest.raises(ValidationError, match=words):
        ContentConfig(**values)
