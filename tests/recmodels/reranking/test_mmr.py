import numpy as np
import pytest

from tests.recmodels.reranking.pools import a_chain, a_pool, shown, some_facts


def test_each_place_goes_to_relevance_less_likeness_by_hand():
    """Relevances 1, 4/5, 3/5, 0; items 0 and 1 are alike (cosine 1), 2 stands at 60 degrees, 3 is opposite.

    With a strength of 1/2: item 0 first. Then 1: .4 - .5 = -.1, 2: .3 - .25 = .05, 3: 0 + .5 = .5; item 3 is next.
    Then 1: .4 - .5 = -.1, 2: .3 - max(.25, -.25) = .05; item 2, then item 1.
    """
    vectors = np.array([[1, 0], [2, 0], [0.5, np.sqrt(0.75)], [-3, 0]])
    pool = a_pool([10, 9, 8, 5], some_facts(4, vectors=vectors))
    assert shown(a_chain(("mmr", {"strength": 0.5})).rerank(pool, k=4)) == [0, 3, 2, 1]
    assert shown(a_chain(("mmr", {"strength": 0.1})).rerank(pool, k=4)) == [0, 1, 2, 3]


def test_labels_tell_likeness_when_there_are_no_vectors():
    """Items 0 and 1 share creator and category (1), 0 and 2 the category (1/2); item 3 has no label."""
    facts = some_facts(4, creators=[7, 7, 8, -1], categories=[[1], [1], [1], []])
    expected = [[1, 1, 0.5, 0], [1, 1, 0.5, 0], [0.5, 0.5, 1, 0], [0, 0, 0, 1]]
    pool = a_pool([4, 3.9, 3.8, 3.7], facts)
    assert pool.similarity.tolist() == expected
    assert shown(a_chain(("mmr", {"strength": 0.9})).rerank(pool, k=4)) == [0, 3, 2, 1]


def test_similarity_is_a_cosine_of_vectors_of_any_length():
    pool = a_pool([2, 1, 0], some_facts(3, vectors=np.array([[3.0, 4.0], [30.0, 40.0], [0.0, 0.0]])))
    assert pool.similarity == pytest.approx(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))
