"""ResNets with torchvision's names of weights, and its random ones of the same seed.

torchvision is only imported for its published weights: together with torch's compiler, which it
imports, it would take a third of the time in which a node starts.
"""

from torch import Tensor, nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
BOTTLENECK = 4  # how many times the width a block's output has, in networks of 50 layers and more


class ResNet(nn.Module):
    """The parts of a ResNet.

    Args:
        name: one of BLOCKS.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        block = Bottleneck if name == "resnet50" else BasicBlock
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for stage, count in enumerate(BLOCKS[name]):
            width, stride = 64 << stage, 2 if stage else 1
            blocks = [block(channels, width, stride)]
            channels = width * block.EXPANSION
            blocks += [block(channels, width) for _ in range(1, count)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """A block whose input, or a projection of it to other sizes, is added to what it makes of it.

    Args:
        channels: of the input.
        width: of the 3x3 convolutions; the output has EXPANSION times as many channels.
        stride: pixels of the input, along each side, per pixel of the output.
    """

    EXPANSION = 1

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        out, downsample = width * self.EXPANSION, None
        if stride != 1 or channels != out:
            downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        self._make_layers(channels, width, stride)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        identity = self.downsample(x) if self.downsample else x
        return self.relu(self._change(x) + identity)

    def _make_layers(self, channels: int, width: int, stride: int) -> None:
        raise NotImplementedError

    def _change(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class BasicBlock(Residual):
    """Of two 3x3 convolutions."""

    def _make_layers(self, channels: int, width: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def _change(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Residual):
    """Of a 3x3 convolution between two of 1x1, the last of which has more channels."""

    EXPANSION = BOTTLENECK

    def _make_layers(self, channels: int, width: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.EXPANSION)

    def _change(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.bn3(self.conv3(x))
