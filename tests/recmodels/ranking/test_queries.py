import numpy as np
import pyarrow as pa

from recmodels.content._hashing import Letters, Spans
from recmodels.ranking.queries import query_tokens


def tokens(*queries, buckets=1000, max_tokens=8, max_letters=256):
    return query_tokens(pa.array(queries, pa.string()), buckets=buckets, max_tokens=max_tokens, max_letters=max_letters)


def bucket(piece, salt, buckets=1000):
    letters = Letters(pa.array([piece]))
    hashed = letters.hashes(Spans(np.array([0]), np.array([0]), np.array([len(piece)])), salt=salt)
    return int(hashed[0] % np.uint64(buckets)) + 1


def test_words_stand_before_pairs_and_runs_of_letters_when_a_query_is_read():
    expected = [bucket("ab", 0), bucket("c", 0), bucket("ab c", 1)]
    expected += [bucket(piece, 2) for piece in (" ab", "ab ", "b c", " c ")]
    assert tokens("ab c").tolist() == [[*expected, 0]]


def test_case_punctuation_and_lines_make_no_difference_when_the_words_are_the_same():
    found = tokens(
        "Football  HIGHLIGHTS", "football\nhighlights", "\uff26ootball, highlights!", "  football highlights "
    )
    assert (found == found[0]).all()
    assert found[0].all()


def test_a_query_says_nothing_when_it_is_null_or_holds_no_letter():
    assert not tokens(None, "", "?!", "\n").any()
    assert tokens(None, "a").any(axis=1).tolist() == [False, True]
    assert tokens().shape == (0, 8)


def test_a_query_of_10_000_letters_is_cut_when_it_is_read():
    long = "word " * 2000
    assert np.array_equal(tokens(long, max_letters=50), tokens(long[:50], max_letters=50))
    assert tokens(long, max_letters=10_000, max_tokens=30).shape == (1, 30)
    assert np.array_equal(tokens("abc def", max_letters=3), tokens("abc"))


def test_a_query_has_the_same_tokens_alone_and_among_others():
    queries = ["cooking", "黑客 帝国", None, "amélie", "ΣΊΣΥΦΟΣ", "e\u0301"] * 3
    together = tokens(*queries)
    for row, query in enumerate(queries):
        assert np.array_equal(tokens(query)[0], together[row]), query


def test_tokens_stay_within_the_buckets_when_there_are_few():
    found = tokens("several different words to hash", buckets=2)
    assert set(found.ravel().tolist()) <= {0, 1, 2}
