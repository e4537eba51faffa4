import torch

from recmodels.encoders.pooled import PooledEncoder


def test_means_weigh_by_age_when_an_encoder_is_new():
    encoder = PooledEncoder(4, hidden_dim=3, num_means=2, max_length=5, dropout=0.0).eval()
    vectors, is_item = torch.randn(1, 3, 4), torch.tensor([[False, True, True]])
    seen = {}
    encoder.inner.register_forward_hook(lambda _, given, __: seen.update(means=given[0]))
    encoder.last(vectors, is_item)
    old, new = vectors[0, 1] * 2, vectors[0, 2] * 2  # D^(1/2) is 2
    expected = torch.cat([(old + new) / 2, (old / 2 + new) / (1 / 2 + 1)])
    torch.testing.assert_close(seen["means"][0, 0], expected)


def test_order_counts_by_the_learned_weights_of_ages_alone():
    encoder = PooledEncoder(4, hidden_dim=3, num_means=1, max_length=5, dropout=0.0).eval()
    vectors, is_item = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    turned = vectors.flip(1)
    torch.testing.assert_close(encoder.last(vectors, is_item), encoder.last(turned, is_item))
    with torch.no_grad():
        encoder.ages[0, 0] += 1
    assert not torch.allclose(encoder.last(vectors, is_item), encoder.last(turned, is_item))
