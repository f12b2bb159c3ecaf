"""The descriptor network: a ResNet, a feature pyramid to the wanted stride, a 1x1 projection.

At stride 32 there is no pyramid: this is the plain network of "Training Dense Object Nets: A Novel
Approach" (2023), features of the last stage projected to D channels. At finer strides the stages
are merged top-down as in "Feature Pyramid Networks for Object Detection" (Lin et al., 2017), which
costs far less than the dilated convolutions of the original Dense Object Nets.

For training by keypoints, two 1x1 heads turn the descriptors of all places into N spatial logits
and N depths.
"""

from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from dense_desc_ros.errors import InvalidInputError

STAGE_CHANNELS = {4: 64, 8: 128, 16: 256, 32: 512}
# Probabilities must become sharp: at a learning rate of 1e-3 weights alone need 10 times as long.
LOGIT_GAIN = 10.0
BACKBONES = ("resnet18", "resnet34")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetworkConfig:
    """What rebuilds a network.

    Attributes:
        backbone: a torchvision ResNet of basic blocks, "resnet18" or "resnet34".
        output_stride: image pixels per feature; 4, 8, 16 or 32 times `input_stride`.
        descriptor_dim: D, the length of a descriptor.
        keypoints: N, how many keypoints the heads find; 0 is a network without heads.
        input_stride: image pixels, along each side, that are averaged to one of the backbone's
            input; 2 takes a quarter of the time.
    """

    backbone: str = "resnet18"
    output_stride: int = 8
    descriptor_dim: int = 64
    keypoints: int = 0
    input_stride: int = 1

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise InvalidInputError(f"unknown backbone {self.backbone!r}: use one of {BACKBONES}")
        if not 1 <= self.input_stride <= 8:
            raise InvalidInputError(f"input_stride {self.input_stride} is not in 1..8")
        strides = tuple(self.input_stride * stride for stride in STAGE_CHANNELS)
        if self.output_stride not in strides:
            raise InvalidInputError(
                f"output stride {self.output_stride} is not one of {strides}, "
                f"which input_stride {self.input_stride} allows"
            )
        if not 1 <= self.descriptor_dim <= 4096:
            raise InvalidInputError(f"descriptor_dim {self.descriptor_dim} is not in 1..4096")
        if not 0 <= self.keypoints <= 4096:
            raise InvalidInputError(f"keypoints {self.keypoints} is not in 0..4096")

    @property
    def pyramid_stride(self) -> int:
        """Pixels of the backbone's input per feature."""
        return self.output_stride // self.input_stride

    @property
    def coarsest_stride(self) -> int:
        """Image pixels per feature of the backbone's last stage: sizes must be multiples of it."""
        return max(STAGE_CHANNELS) * self.input_stride


class DescriptorNetwork(nn.Module):
    """Images to low-resolution descriptors.

    Args:
        config: what to build.
        pretrained: start the backbone from torchvision's ImageNet weights (fetched by torchvision).
    """

    def __init__(self, config: NetworkConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        resnet = torchvision.models.get_model(
            config.backbone, weights="DEFAULT" if pretrained else None
        )
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.stages = nn.ModuleList([resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4])
        stride = config.pyramid_stride
        self.pyramid = FeaturePyramid(stride) if stride < max(STAGE_CHANNELS) else None
        channels = FeaturePyramid.WIDTH if self.pyramid else STAGE_CHANNELS[32]
        # Centred and of equal variance, descriptors differ from the first step on: contrastive
        # losses otherwise spend most of a short training on leaving the state where all are alike.
        self.projection = nn.Sequential(
            nn.Conv2d(channels, config.descriptor_dim, kernel_size=1, bias=False),
            nn.BatchNorm2d(config.descriptor_dim, affine=False),
        )
        if config.keypoints:
            self.spatial_head = nn.Conv2d(config.descriptor_dim, config.keypoints, kernel_size=1)
            self.depth_head = nn.Conv2d(config.descriptor_dim, config.keypoints, kernel_size=1)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors (B, D, ceil(H/s), ceil(W/s)) of RGB images (B, 3, H, W) in [0, 1]."""
        if self.config.input_stride > 1:
            images = functional.avg_pool2d(images, self.config.input_stride)
        x = self.stem((images - self.mean) / self.std)
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        return self.projection(self.pyramid(stages) if self.pyramid else x)

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


class FeaturePyramid(nn.Module):
    """Merges the stages of a ResNet top-down, from stride 32 to the wanted one."""

    WIDTH = 128

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        strides = [s for s in STAGE_CHANNELS if s >= output_stride]
        self.laterals = nn.ModuleList(nn.Conv2d(STAGE_CHANNELS[s], self.WIDTH, 1) for s in strides)
        self.smooth = nn.Sequential(
            nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(self.WIDTH),
            nn.ReLU(inplace=True),
        )

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Features (B, WIDTH, h, w) at the output stride from the four stages, fine to coarse."""
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
