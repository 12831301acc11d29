import pytest
import torch

from medsynth.nets.encoder import ConvEncoder


@pytest.mark.parametrize("shape", [(20, 17), (12, 18, 9)])
def test_any_size_in_2d_and_3d(shape):
    net = ConvEncoder(len(shape), widths=(4, 6))
    features = net(torch.randn(3, 1, *shape))
    assert features.shape == (3, net.width) == (3, 20)
    torch.testing.assert_close(net(torch.randn(3, 1, *shape) * 0 + 1)[0], net(torch.ones(1, 1, *shape))[0])


def test_constant_images_have_gradients():
    net = ConvEncoder(2, widths=(4,))
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters())
