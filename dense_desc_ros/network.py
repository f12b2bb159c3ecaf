"""The descriptor network: a ResNet, a feature pyramid to the wanted stride, a 1x1 projection.

At stride 32 there is no pyramid: this is the plain network of "Training Dense Object Nets: A Novel
Approach" (2023), features of the last stage projected to D channels. At finer strides the stages
are merged top-down as in "Feature Pyramid Networks for Object Detection" (Lin et al., 2017), which
costs far less than the dilated convolutions of the original Dense Object Nets.

For training by keypoints, two 1x1 heads turn the descriptors of all places into N spatial logits
and N depths.

A network may look at each picture in several quarter turns and average what it sees (as
Cohen and Welling, "Group Equivariant Convolutional Networks", 2016, have it for convolutions):
objects lie at any angle, and no training ends with descriptors that do not depend on it. And it may
smooth its features, by which matches become more exact (docs/experiments.md, "Smoothed").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from dense_desc_ros.backbones import (
    RESNETS,
    STRIDES,
    TIMM,
    TimmBackbone,
    is_backbone,
    make_resnet,
    resnet_channels,
)
from dense_desc_ros.errors import InvalidInputError

# Probabilities must become sharp: at a learning rate of 1e-3 weights alone need 10 times as long.
LOGIT_GAIN = 10.0
SMOOTHING = 1, 3, 1  # weights of a feature and those beside it
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetworkConfig:
    """What rebuilds a network.

    Attributes:
        backbone: one of `backbones.RESNETS`, or "timm:" and the name of a model of timm.
        output_stride: image pixels per feature; 4, 8, 16 or 32 times `input_stride`.
        descriptor_dim: D, the length of a descriptor.
        keypoints: N, how many keypoints the heads find; 0 is a network without heads.
        input_stride: image pixels, along each side, that are averaged to one of the backbone's
            input; 2 takes a quarter of the time.
        learned_scale: descriptors have a length that is learnt, as objectives by L2 need; else
            every channel has variance one.
        turns: 1, 2 or 4; features are the mean of those of the image and of its copies turned in
            equal steps, which takes so many times as long.
        smoothed: features are smoothed, see `smooth`. Not in training.
    """

    backbone: str = "resnet18"
    output_stride: int = 8
    descriptor_dim: int = 64
    keypoints: int = 0
    input_stride: int = 1
    learned_scale: bool = False
    turns: int = 1
    smoothed: bool = False

    def __post_init__(self) -> None:
        if not is_backbone(self.backbone):
            raise InvalidInputError(
                f"unknown backbone {self.backbone!r}: use one of {', '.join(RESNETS)}, or timm:NAME"
            )
        if not 1 <= self.input_stride <= 8:
            raise InvalidInputError(f"input_stride {self.input_stride} is not in 1..8")
        strides = tuple(self.input_stride * stride for stride in STRIDES)
        if self.output_stride not in strides:
            raise InvalidInputError(
                f"output stride {self.output_stride} is not one of {strides}, "
                f"which input_stride {self.input_stride} allows"
            )
        if not 1 <= self.descriptor_dim <= 4096:
            raise InvalidInputError(f"descriptor_dim {self.descriptor_dim} is not in 1..4096")
        if not 0 <= self.keypoints <= 4096:
            raise InvalidInputError(f"keypoints {self.keypoints} is not in 0..4096")
        if type(self.turns) is not int or self.turns not in (1, 2, 4):  # files may hold 4.0
            raise InvalidInputError(f"turns {self.turns} is not 1, 2 or 4")
        if type(self.smoothed) is not bool:
            raise InvalidInputError(f"smoothed {self.smoothed} is not true or false")

    @property
    def pyramid_stride(self) -> int:
        """Pixels of the backbone's input per feature."""
        return self.output_stride // self.input_stride

    @property
    def coarsest_stride(self) -> int:
        """Image pixels per feature of the backbone's last stage: sizes must be multiples of it."""
        return max(STRIDES) * self.input_stride


class FeatureNetwork(nn.Module):
    """What gives features (B, D, h, w) of images (B, 3, H, W), and has the heads for keypoints.

    Args:
        config: what it is.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def keypoint_maps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Spatial logits and depths, each (B, N, h, w), of features (B, D, h, w).

        Depths are positive and, since a picture does not tell near from magnified, those that a
        camera of the focal length `keypoints.REFERENCE_FOCAL` would have seen, in metres.

        Raises:
            InvalidInputError: the network has no heads.
        """
        if not self.config.keypoints:
            raise InvalidInputError("this network was made without keypoints")
        # Of one length, as cosines compare descriptors; about one in every channel, whatever D.
        features = functional.normalize(features, dim=1) * features.shape[1] ** 0.5
        return LOGIT_GAIN * self.spatial_head(features), self.depth_head(features).exp()

    def _make_heads(self) -> None:
        dim, keypoints = self.config.descriptor_dim, self.config.keypoints
        if keypoints:
            self.spatial_head = nn.Conv2d(dim, keypoints, kernel_size=1)
            self.depth_head = nn.Conv2d(dim, keypoints, kernel_size=1)


class DescriptorNetwork(FeatureNetwork):
    """Images to low-resolution descriptors.

    Args:
        config: what to build.
        pretrained: start the backbone from published weights, which its library fetches: ImageNet's
            from torchvision, others from the Hugging Face hub.
        backbone_weights: or from this safetensors file.

    Raises:
        InvalidInputError: the backbone needs timm, which is not there or has no such model.
        WeightsError: the backbone's weights do not fit.
    """

    def __init__(
        self,
        config: NetworkConfig,
        pretrained: bool = False,
        backbone_weights: Path | None = None,
    ) -> None:
        super().__init__(config)
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        if config.backbone.startswith(TIMM):
            name = config.backbone.removeprefix(TIMM)
            self.backbone = TimmBackbone(name, config.pyramid_stride, pretrained, backbone_weights)
            maps, mean, std = self.backbone.channels, self.backbone.mean, self.backbone.std
        else:
            resnet = make_resnet(config.backbone, pretrained, backbone_weights)
            self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
            self.stages = nn.ModuleList(
                [resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
            )
            maps = resnet_channels(config.backbone)
        maps = {stride: n for stride, n in maps.items() if stride >= config.pyramid_stride}
        self.pyramid = FeaturePyramid(list(maps.values())) if len(maps) > 1 else None
        channels = FeaturePyramid.WIDTH if self.pyramid else maps[max(maps)]
        # Centred and of equal variance, descriptors differ from the first step on: contrastive
        # losses otherwise spend most of a short training on leaving the state where all are alike.
        normalisation = nn.BatchNorm2d(config.descriptor_dim, affine=config.learned_scale)
        if config.learned_scale:
            # So that two places picked at random are at a distance of about one at first.
            nn.init.constant_(normalisation.weight, (2 * config.descriptor_dim) ** -0.5)
        self.projection = nn.Sequential(
            nn.Conv2d(channels, config.descriptor_dim, kernel_size=1, bias=False), normalisation
        )
        self._make_heads()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors (B, D, ceil(H/s), ceil(W/s)) of RGB images (B, 3, H, W) in [0, 1].

        With several turns, H and W must be multiples of the coarsest stride.
        """
        if self.config.input_stride > 1:
            images = functional.avg_pool2d(images, self.config.input_stride)
        images = (images - self.mean) / self.std
        features = self._describe(images) if self.config.turns == 1 else self._turned(images)
        return smooth(features) if self.config.smoothed and not self.training else features

    def _turned(self, images: Tensor) -> Tensor:
        """The mean of descriptors of the backbone's input in several turns.

        Two that are half a turn apart have the same size: together they take a tenth less time.
        """
        views = []
        for turn in range(self.config.turns // 2):
            turned = torch.rot90(images, turn, dims=(2, 3))
            both = torch.cat([turned, torch.rot90(turned, 2, dims=(2, 3))])
            features = self._describe(both.contiguous(memory_format=torch.channels_last))
            if not self.config.learned_scale:
                features = functional.normalize(features, dim=1)  # all count alike, as for cosines
            for view, angle in zip(features.chunk(2), (turn, turn + 2), strict=True):
                views.append(torch.rot90(view, -angle, dims=(2, 3)))
        return torch.stack(views).mean(dim=0)

    def _describe(self, images: Tensor) -> Tensor:
        """Descriptors of the backbone's input as it is."""
        maps = self._backbone_maps(images)
        return self.projection(self.pyramid(maps) if self.pyramid else maps[-1])

    def backbone_parts(self) -> list[nn.Module]:
        """What belongs to the backbone."""
        timm = self.config.backbone.startswith(TIMM)
        return [self.backbone] if timm else [self.stem, self.stages]

    def inner_normalisations(self) -> list[nn.Module]:
        """What normalises by the statistics of a batch, but for the descriptors themselves."""
        own = set(self.projection.modules())
        return [m for m in self.modules() if isinstance(m, nn.BatchNorm2d) and m not in own]

    def _backbone_maps(self, x: Tensor) -> list[Tensor]:
        if self.config.backbone.startswith(TIMM):
            return self.backbone(x)
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def take_over(network: DescriptorNetwork, found: Mapping[str, Tensor]) -> set[str]:
    """Give a network those tensors of another one that fit; returns their names.

    Residual blocks of which nothing is found add nothing then: a ResNet-34 is the same function as
    the ResNet-18 it starts from. Source: Chen et al., "Net2Net" (ICLR 2016).
    """
    own = network.state_dict()
    fitting = {k: v for k, v in found.items() if k in own and own[k].shape == v.shape}
    network.load_state_dict(fitting, strict=False)
    for name, block in network.named_modules():
        if not isinstance(block, BasicBlock | Bottleneck) or block.downsample is not None:
            continue  # one that changes the size of maps cannot be left out
        if not any(key.startswith(f"{name}.") for key in fitting):
            last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    return set(fitting)


def smooth(features: Tensor) -> Tensor:
    """Features (B, D, h, w) joined with the eight around each by SMOOTHING along both axes.

    The border is repeated.
    """
    channels = features.shape[1]
    kernel = features.new_tensor(SMOOTHING) / sum(SMOOTHING)
    kernels = (kernel[:, None] * kernel).expand(channels, 1, 3, 3)
    padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernels, groups=channels)


class FeaturePyramid(nn.Module):
    """Merges a backbone's maps top-down, from stride 32 to the wanted one.

    Args:
        channels: of the maps, fine to coarse.
    """

    WIDTH = 128

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(n, self.WIDTH, 1) for n in channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(self.WIDTH),
            nn.ReLU(inplace=True),
        )

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Features (B, WIDTH, h, w) at the output stride from all maps, fine to coarse."""
        merged = None
        for lateral, stage in zip(
            reversed(self.laterals), reversed(stages[-len(self.laterals) :]), strict=True
        ):
            finer = lateral(stage)
            if merged is not None:
                finer = finer + functional.interpolate(
                    merged, size=finer.shape[-2:], mode="bilinear", align_corners=False
                )
            merged = finer
        return self.smooth(merged)
