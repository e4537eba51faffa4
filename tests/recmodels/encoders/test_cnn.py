import pytest
import torch
from torch import nn

from recmodels.encoders.cnn import CausalConvolution, CnnEncoder


@pytest.mark.parametrize(("kernel_size", "dilation"), [(2, 1), (3, 1), (3, 4)])
def test_a_convolution_equals_that_of_torch_when_its_weights_are_laid_out_for_it(kernel_size, dilation):
    torch.manual_seed(0)
    convolution = CausalConvolution(4, kernel_size=kernel_size, dilation=dilation)
    states = torch.randn(2, 11, 4)
    kernel = convolution.weights.weight.unflatten(1, (kernel_size, 4)).transpose(1, 2)  # (4, 4, W)
    before = nn.functional.pad(states.transpose(1, 2), (dilation * (kernel_size - 1), 0))
    expected = nn.functional.conv1d(before, kernel, convolution.weights.bias, dilation=dilation).transpose(1, 2)
    torch.testing.assert_close(convolution(states, torch.ones(2, 11, dtype=torch.bool)), expected)


@pytest.mark.parametrize(("num_layers", "kernel_size", "reach"), [(1, 2, 3), (1, 3, 6), (2, 2, 15), (2, 3, 30)])
def test_a_position_knows_as_many_items_before_it_as_documented(num_layers, kernel_size, reach):
    """(W - 1) (4^n - 1)"""
    torch.manual_seed(0)
    encoder = CnnEncoder(8, num_layers=num_layers, kernel_size=kernel_size, dropout=0.0)
    vectors = torch.randn(1, 40, 8, requires_grad=True)
    (encoder.last(vectors, torch.ones(1, 40, dtype=torch.bool))[0] @ torch.randn(8)).backward()
    felt = vectors.grad[0].abs().amax(dim=1) > 0
    assert felt.tolist() == [False] * (39 - reach) + [True] * (reach + 1)
