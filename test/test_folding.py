"""Networks whose normalisations are folded into their convolutions: the same function."""

import pytest
import torch
from torch import nn

from dense_desc_ros.folding import folded
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig

CONFIGS = [
    NetworkConfig("resnet18", 8, 5, input_stride=2, turns=2, smoothed=True),
    NetworkConfig("resnet50", 4, 5, learned_scale=True),
    NetworkConfig("resnet18", 32, 5, keypoints=3),
]


@pytest.fixture(params=CONFIGS, ids=lambda each: each.backbone)
def network(request):
    """A network that has been trained, as far as its normalisations can tell."""
    torch.manual_seed(0)
    network = DescriptorNetwork(request.param)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return network.eval()


@torch.inference_mode()
def test_a_folded_network_is_the_same_function_without_normalisations(network):
    images = torch.rand(2, 3, 128, 192).double()
    expected = network.double()(images)
    quick = folded(network, torch.float64)
    torch.testing.assert_close(quick(images), expected, rtol=1e-9, atol=1e-9)
    assert not [each for each in quick.modules() if isinstance(each, nn.BatchNorm2d)]
    assert [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]  # a copy


@torch.inference_mode()
def test_convolutions_in_a_lower_precision_are_as_exact_as_rounded_for_every_picture(network):
    images = torch.rand(2, 3, 128, 192)
    expected = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        for_every_picture = network(images).float()
        once = folded(network, torch.bfloat16)(images).float()
    off = [(each - expected).norm() / expected.norm() for each in (once, for_every_picture)]
    assert 0 < off[0] < 1.5 * off[1]


def test_what_runs_in_another_order_than_is_listed_is_left_alone():
    class Before(nn.Module):
        """Normalises first, as residual blocks of some libraries do."""

        def __init__(self):
            super().__init__()
            self.convolution, self.normalisation = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.convolution(self.normalisation(x))

    images = torch.rand(1, 3, 8, 8)
    block = Before().eval()
    block.normalisation.running_mean.fill_(3.0)
    with torch.inference_mode():
        assert torch.equal(folded(block, torch.float32)(images), block(images))
