"""Backbones: ResNets by name, and any model of timm with feature maps.

A resnet24 is a ResNet-34 with fewer blocks in its second and third stages.

timm (`pip install timm`) is not needed for anything else, so it is imported only by networks that
ask for it. Its convolutional models have feature maps of several strides, which the network merges
like a ResNet's. Vision transformers have one, of their patch size, 14 or 16 pixels: pictures are
resized so that a patch covers as many of their pixels as a feature of the network does. So
every size of a picture is a whole number of patches; position embeddings are interpolated by timm.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from dense_desc_ros.errors import InvalidInputError, WeightsError

STRIDES = (4, 8, 16, 32)
RESNETS = {"resnet18": 1, "resnet24": 1, "resnet34": 1, "resnet50": 4}  # width, of 64 to 512
SHORTENED = {"resnet24": (3, 3, 2, 3)}  # blocks of the stages of those that torchvision has not
TIMM = "timm:"
TRIED = (64, 96)  # height and width, pixels


def is_backbone(name: str) -> bool:
    """Whether a configuration may name it; whether timm has it is known when it is built."""
    return name in RESNETS or (name.startswith(TIMM) and len(name) > len(TIMM))


def make_resnet(name: str, pretrained: bool, weights: Path | None) -> Any:
    """A torchvision ResNet, random or with weights of ImageNet or of a file.

    Raises:
        WeightsError: the file cannot be read, or holds something else; or there are no weights of
            ImageNet.
    """
    if name in SHORTENED:
        if pretrained:
            raise WeightsError(f"there are none of a {name}")
        resnet = ResNet(BasicBlock, list(SHORTENED[name]))
    else:
        resnet = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None)
    if weights:
        try:
            found = load_file(weights)
            missing = resnet.load_state_dict(found, strict=False).missing_keys
        except (OSError, safetensors.SafetensorError, RuntimeError) as error:
            raise WeightsError(f"cannot read weights {weights} of a {name}: {error}") from error
        if missing := [key for key in missing if not key.startswith("fc.")]:
            raise WeightsError(f"{weights} has no weights for {missing[0]} of a {name}")
    return resnet


def resnet_channels(name: str) -> dict[int, int]:
    """Channels of a ResNet's stages, by their stride."""
    return {stride: 16 * stride * RESNETS[name] for stride in STRIDES}


class TimmBackbone(nn.Module):
    """Feature maps of a model of timm.

    Args:
        name: as timm knows it, with or without the tag of its weights.
        stride: pixels per feature of the finest map wanted, one of STRIDES.
        pretrained: get weights from the Hugging Face hub.
        weights: safetensors file with the model's weights.

    Attributes:
        channels: of the maps, by stride; only one for a vision transformer.
        mean, std: of the colours that it was made for.

    Raises:
        InvalidInputError: timm is not installed, or has no such model with such feature maps.
        WeightsError: the weights cannot be had, or do not fit.
    """

    def __init__(
        self, name: str, stride: int, pretrained: bool = False, weights: Path | None = None
    ) -> None:
        super().__init__()
        self.model = _make(_import_timm(), name, pretrained, weights)
        if not hasattr(self.model, "forward_intermediates"):
            raise InvalidInputError(f"timm's {name} does not give feature maps: use another model")
        maps = [(info["reduction"], info["num_chs"]) for info in self.model.feature_info]
        self.stride = stride
        self.patch = maps[0][0] if len({reduction for reduction, _ in maps}) == 1 else None
        if self.patch:
            self.indices, self.channels = [len(maps) - 1], {stride: maps[-1][1]}
        else:
            wanted = [i for i, (reduction, _) in enumerate(maps) if reduction in STRIDES]
            self.indices = [i for i in wanted if maps[i][0] >= stride]
            self.channels = dict(maps[i] for i in self.indices)
            if expected := [s for s in STRIDES if s >= stride and s not in self.channels]:
                raise InvalidInputError(
                    f"timm's {name} has no feature map of stride {expected[0]}, only "
                    f"{sorted({reduction for reduction, _ in maps})}: use another model or stride"
                )
        self.model.prune_intermediate_layers(self.indices, prune_norm=not self.patch)
        self.mean, self.std = (self.model.pretrained_cfg[key] for key in ("mean", "std"))
        self._try_out(name)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H/s, W/s), fine to coarse, of images (B, 3, H, W), multiples of 32."""
        if self.patch and self.patch != self.stride:
            size = [side // self.stride * self.patch for side in images.shape[-2:]]
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        return self.model.forward_intermediates(
            images,
            indices=self.indices,
            norm=bool(self.patch),
            output_fmt="NCHW",
            intermediates_only=True,
        )

    @torch.no_grad()
    def _try_out(self, name: str) -> None:
        """Raise InvalidInputError unless it makes of a small oblong picture what it should."""
        height, width = TRIED
        training = self.training
        self.eval()
        try:
            maps = self(torch.zeros(1, 3, height, width))
        except (RuntimeError, AssertionError) as error:
            raise InvalidInputError(
                f"timm's {name} does not take pictures of any size ({error}): use another model"
            ) from error
        finally:
            self.train(training)
        expected = [(n, height // s, width // s) for s, n in self.channels.items()]
        if (found := [tuple(m.shape[1:]) for m in maps]) != expected:
            raise InvalidInputError(f"timm's {name} makes {found} of {TRIED}, and not {expected}")


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise InvalidInputError(
            "a backbone of timm needs timm, which is not installed: pip install timm"
        ) from error
    return timm


def _make(timm: ModuleType, name: str, pretrained: bool, weights: Path | None) -> Any:
    if weights and weights.suffix != ".safetensors":
        raise WeightsError(f"{weights} is not a safetensors file, and others are not read")
    options: dict[str, Any] = {"num_classes": 0, "pretrained": pretrained or bool(weights)}
    if weights:
        options["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        if name.split(".")[0] not in timm.list_models():
            known = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:8])
            raise InvalidInputError(f"timm has no model {name!r}; {known or 'see timm'} are some")
        try:
            return timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:  # a convolutional model, to which all sizes are the same
            return timm.create_model(name, **options)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot get weights of timm's {name}: {error}") from error
