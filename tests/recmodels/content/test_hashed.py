import numpy as np
import pyarrow as pa
import pytest

from recmodels.content import CONTENT, hashed
from recmodels.content._hashing import Letters, Spans

TITLES = ["The Matrix", "The Matrix Reloaded", "Star Wars", "Star Trek", "Amélie", "", None, "!?", "黑客 帝国"]


def an_encoder(texts=TITLES, **config):
    return CONTENT.build("hashed", config).fit(pa.array(texts, pa.string()))


def encode(encoder, *texts):
    return encoder.encode(pa.array(texts, pa.string()))


def pieces(text, words, letters):
    """What `hashed` promises to count, by plain Python."""
    if not text:
        return []
    parts, padded = text.split(" "), f" {text} "
    found = [
        (count - 1, " ".join(parts[a : a + count]))
        for count in range(1, words + 1)
        for a in range(len(parts) - count + 1)
    ]
    for number, size in enumerate(letters, start=words):
        found += [(number, padded[a : a + size]) for a in range(len(padded) - size + 1)]
    return found


def hash_by_hand(text, salt):
    value = sum((ord(letter) + 1) * pow(0x9E3779B97F4A7C15, place, 2**64) for place, letter in enumerate(text))
    return mixed_by_hand((value + salt * 0xD1B54A32D192ED03) % 2**64)


def test_the_hash_of_a_piece_is_the_polynomial_of_its_letters_wherever_it_stands():
    letters = Letters(pa.array(["ab黑", "", "xab黑y"]))
    spans = Spans(np.array([0, 2]), np.array([0, 4]), np.array([3, 7]))
    assert letters.hashes(spans, salt=3).tolist() == [hash_by_hand("ab黑", 3)] * 2


@pytest.mark.parametrize("block", [1, 20, 2**20])
def test_buckets_hold_words_and_runs_of_letters_when_texts_are_counted(monkeypatch, block):
    monkeypatch.setattr(hashed, "_BLOCK_LETTERS", block)
    texts = ["the cat sat", "", "cat", "a", "the the the", "黑客 帝国"]
    encoder = an_encoder(texts, buckets=1000)
    expected = np.zeros((len(texts), 1000))
    for row, text in enumerate(texts):
        for salt, piece in pieces(text, 2, (3, 4)):
            expected[row, hash_by_hand(piece, salt) % 1000] += 1
    counts = np.concatenate([part.toarray() for part in encoder._counts(pa.array(texts))])
    np.testing.assert_array_equal(counts, expected)
    rarity = np.log(7 / (1 + (expected > 0).sum(axis=0))) + 1
    np.testing.assert_allclose(encoder.rarity, rarity, rtol=1e-6)


def test_vectors_have_length_one_or_are_zero_when_nothing_is_said():
    lengths = np.linalg.norm(encode(an_encoder(), *TITLES), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 1, 0, 0, 0, 1], rtol=1e-5)


def test_texts_that_share_words_are_nearer_than_those_that_do_not():
    vectors = encode(an_encoder(embedding_dim=512), *TITLES[:5])
    near = vectors @ vectors.T
    assert near[0, 1] > 0.5
    assert near[2, 3] > 0.2
    assert np.abs(near[[0, 0, 1], [2, 4, 3]]).max() < 0.2


def test_inner_products_are_those_of_the_counts_when_there_are_many_dimensions():
    encoder = an_encoder(embedding_dim=4096, buckets=4096)
    weights = np.concatenate([part.toarray() for part in encoder._counts(pa.array(TITLES[:5]))])
    weights = np.where(weights > 0, 1 + np.log(np.maximum(weights, 1)), 0) * encoder.rarity
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    vectors = encode(encoder, *TITLES[:5])
    np.testing.assert_allclose(vectors @ vectors.T, weights @ weights.T, atol=5 / np.sqrt(4096))


def test_case_marks_and_forms_change_nothing_when_the_words_are_the_same():
    vectors = encode(an_encoder(), "The Matrix", "  the — MATRIX!", "the\tｍａｔｒｉｘ")
    np.testing.assert_array_equal(vectors[1:], vectors[[0, 0]])


def test_a_text_has_the_same_vector_when_others_stand_beside_it():
    encoder = an_encoder()
    together = encode(encoder, *TITLES)
    alone = np.concatenate([encode(encoder, text) for text in TITLES])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_no_vector_is_returned_when_there_is_no_text():
    assert encode(an_encoder([])).shape == (0, 256)
    assert encode(an_encoder(words=0, letters=()), "the cat").tolist() == [[0.0] * 256]


def mixed_by_hand(value):
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def test_signs_are_bits_of_a_buckets_numbers_whatever_the_catalogue():
    signs = an_encoder(embedding_dim=70, buckets=3)._signs()
    for bucket in range(3):
        words = [mixed_by_hand(mixed_by_hand(2 * bucket + half)) for half in (0, 1)]
        octets = b"".join(word.to_bytes(8, "little") for word in words)
        bits = [octet >> (7 - place) & 1 for octet in octets for place in range(8)]
        assert signs[bucket].tolist() == [2 * bit - 1 for bit in bits[:70]]
