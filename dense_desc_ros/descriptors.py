"""The model that computes descriptors of images, its files and its fingerprint."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import safetensors
import torch
from safetensors.torch import save as serialize
from torch import Tensor

from dense_desc_ros.camera import PinholeCamera, check_image
from dense_desc_ros.compact_weights import compacted, expanded
from dense_desc_ros.descriptor_map import DescriptorMap
from dense_desc_ros.errors import DenseDescError, InvalidInputError, WeightsError
from dense_desc_ros.export.onnx_network import FINGERPRINT, read_onnx
from dense_desc_ros.files import write_atomically
from dense_desc_ros.folding import folded
from dense_desc_ros.keypoints import Keypoints, expectations
from dense_desc_ros.network import (
    SMOOTHING,
    DescriptorNetwork,
    FeatureNetwork,
    NetworkConfig,
    take_over,
)

__all__ = ["DescriptorMap", "DescriptorModel", "ModelConfig"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
COMPUTE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # what processors that do so can do
BRIGHTNESS = np.arange(256, dtype=np.float32) / np.float32(255)  # of bytes
DESCRIPTION = "dense_desc_ros"  # under which files have the configuration
MIXED = "mixed"  # and what was mixed in, one after the other
# Left out at their defaults, so that fingerprints stay.
LATER_FIELDS = ("keypoints", "input_stride", "learned_scale", "turns", "smoothed")


@dataclass(frozen=True)
class ModelConfig:
    """What a weights file says of its model beside the tensors."""

    network: NetworkConfig = NetworkConfig()
    metric: str = "cosine"

    def to_json(self) -> str:
        values = asdict(self)
        for name in LATER_FIELDS:
            if values["network"][name] == getattr(NetworkConfig, name):
                del values["network"][name]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        values = json.loads(text)
        return cls(NetworkConfig(**values["network"]), values["metric"])


class DescriptorModel:
    """A trained network, ready to describe images.

        model = DescriptorModel.load("models/caps.safetensors")
        reference = model.describe(image_a).sample([(u, v)])
        pixel, score = model.describe(image_b).match(reference)

    Args:
        network: the network; it is set to inference mode.
        metric: how descriptors are compared, "cosine" or "l2".
        device: "cpu", "cuda", ... or "auto": a GPU when there is one.
        precision: of the network, one of PRECISIONS, or "auto": bfloat16 on a processor that
            computes in it, which takes some 60 % of the time; else float32. Features are float32
            all the same.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        metric: str = "cosine",
        device: str = "auto",
        precision: str = "float32",
    ) -> None:
        self.config = ModelConfig(network.config, metric)
        self.device = _pick_device(device)
        self.precision = _pick_precision(precision, self.device)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self._at_work = network
        if self.precision != "float32":
            self._at_work = folded(network, PRECISIONS[self.precision])
        self.notes: Mapping[str, str] = {}  # what its file says besides, for people

    @classmethod
    def load(
        cls, path: str | Path, device: str = "auto", precision: str = "auto"
    ) -> "DescriptorModel":
        """Read a safetensors file written by `save`, or what `dense-desc export` made of one.

        The latter, an .onnx file, runs in ONNX Runtime, on the processor.

        Raises:
            WeightsError: the file is missing, truncated, or not of a model of this package.
            InvalidInputError: an unknown device or precision; or an .onnx file, and a library for
                it is missing, or another device or precision is asked for than it has.
        """
        path = Path(path)
        exported = path.suffix == ".onnx"
        if exported:
            if device not in ("auto", "cpu") or precision not in ("auto", "float32"):
                raise InvalidInputError(
                    f"{path} runs on the processor in float32: for device {device} and precision "
                    f"{precision} take the safetensors file that it was exported from"
                )
            device, precision = "cpu", "float32"
        metadata, make_network = read_onnx(path) if exported else _read_safetensors(path)
        if DESCRIPTION not in metadata:
            raise WeightsError(f"{path} holds no model of dense_desc_ros (no such metadata in it)")
        try:
            config = ModelConfig.from_json(metadata.pop(DESCRIPTION))
            network = make_network(config.network)
            fingerprint = metadata.pop(FINGERPRINT) if exported else ""
        except (KeyError, TypeError, ValueError, RuntimeError, DenseDescError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(f"{path} does not fit its own description: {reason}") from error
        model = cls(network, config.metric, device, precision)
        if exported:
            model.fingerprint = fingerprint
        model.notes = metadata
        return model

    def used_with(
        self,
        turns: int | None = None,
        smoothed: bool | None = None,
        backbone: str | None = None,
    ) -> "DescriptorModel":
        """The same weights used in another way, see `NetworkConfig`; None: as they are now.

        Another backbone is a ResNet of fewer blocks: those that it has not are left out.

        Raises:
            InvalidInputError: an impossible number of turns, or a backbone that needs more than
                these weights.
            WeightsError: the model was exported, and does not have its weights any more.
        """
        ways: dict[str, Any] = {"turns": turns, "smoothed": smoothed, "backbone": backbone}
        changes = {name: value for name, value in ways.items() if value is not None}
        network = DescriptorNetwork(replace(self._trained().config, **changes))
        if take_over(network, self.network.state_dict()) != network.state_dict().keys():
            own = self.config.network.backbone
            raise InvalidInputError(f"a {backbone} cannot be made of a {own} by leaving out blocks")
        return self._like_this(network)

    def mixed_with(self, other: "DescriptorModel", share: float) -> "DescriptorModel":
        """Weights between those of two models: (1 - share) of these, and a share of the other's.

        Where the one was trained on from the other's weights, so that both still are about the
        same, such a mixture forgets less than it gains: Wortsman et al., "Robust fine-tuning of
        zero-shot models" (CVPR 2022). The notes keep those of these weights, and tell of the others
        by their fingerprints. The other network may be a shallower ResNet, see `network.take_over`.

        Raises:
            InvalidInputError: a share that is not in [0, 1], or networks that are not of one kind.
            WeightsError: a model was exported, and does not have its weights any more.
        """
        if not 0 <= share <= 1:
            raise InvalidInputError(f"share {share} is not in [0, 1]")
        config, others = self._trained().config, copy.deepcopy(self._trained())
        ways = {name: getattr(config, name) for name in ("backbone", "turns", "smoothed")}
        used_alike = replace(other.config.network, **ways)
        found = other._trained().state_dict()
        if (used_alike, other.config.metric) != (config, self.config.metric) or (
            take_over(others, found) != found.keys()
        ):
            raise InvalidInputError("only weights of networks of one kind can be mixed")
        network, own = DescriptorNetwork(config), self.network.state_dict()
        network.load_state_dict(
            {
                name: torch.lerp(own[name].float(), tensor.float(), share).to(tensor.dtype)
                for name, tensor in others.state_dict().items()
            }
        )
        mixed = self._like_this(network)
        before = [self.notes[MIXED]] if MIXED in self.notes else []
        mixed.notes = {
            **self.notes,
            MIXED: ", ".join([*before, f"{share:g} of {other.fingerprint}"]),
        }
        return mixed

    def _like_this(self, network: DescriptorNetwork) -> "DescriptorModel":
        model = DescriptorModel(network, self.config.metric, str(self.device), self.precision)
        model.notes = self.notes
        return model

    def save(
        self,
        path: str | Path,
        notes: Mapping[str, str] | None = None,
        compact: bool = False,
    ) -> None:
        """Write the weights and their description to one safetensors file, atomically.

        Args:
            path: the file.
            notes: further metadata of it, beside those the model has already, for people; for
                instance how it was trained.
            compact: in a third of the space, a little rounded, see `compact_weights`.

        Raises:
            WeightsError: the model was exported, and does not have its weights any more.
        """
        names = {name for name, _ in self._trained().named_parameters()}
        tensors = self._tensors()
        if compact:
            tensors = compacted(tensors, names)
        metadata = {**self.notes, **(notes or {}), DESCRIPTION: self.config.to_json()}
        write_atomically(Path(path), serialize(tensors, metadata))

    @cached_property
    def fingerprint(self) -> str:
        """Identifies weights and configuration: SHA-256, 64 hexadecimal digits.

        An exported model has that of the weights it was exported from: references stay valid.
        """
        digest = hashlib.sha256(self.config.to_json().encode())
        if self.config.network.smoothed:  # otherwise, the same weights have other features
            digest.update(str(SMOOTHING).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def describe(self, image: npt.NDArray[np.uint8]) -> DescriptorMap:
        """The descriptors of an RGB image (H, W, 3) uint8.

        Raises:
            InvalidInputError: not such an image.
        """
        return self.wrap(self.forward(self.preprocess(image)), image)

    def preprocess(self, image: npt.NDArray[np.uint8]) -> Tensor:
        """The network's input (1, 3, H', W') for an image (H, W, 3), padded to whole strides.

        The padding keeps a feature at the same place in every image, whatever its size.
        """
        check_image(image)
        whole = self.config.network.coarsest_stride
        below, right = (-size % whole for size in image.shape[:2])
        if below or right:
            padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
            image = np.asarray(padded, np.uint8)
        if self.device.type == "cpu":
            # Not by torch: with several threads it waits for them longer than this takes.
            pixels = torch.from_numpy(cv2.LUT(image, BRIGHTNESS))
        else:  # bytes are copied there in a quarter of the time
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).float() / 255
        return pixels.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """The bare network: (1, D, h, w) features of preprocessed pixels (1, 3, H', W')."""
        if self.precision == "float32":
            return self._at_work(pixels)
        with torch.autocast(self.device.type, PRECISIONS[self.precision]):
            return self._at_work(pixels).float()

    def wrap(self, features: Tensor, image: npt.NDArray[np.uint8]) -> DescriptorMap:
        """The map of features (1, D, h, w) that `forward` gave for an image (H, W, 3)."""
        height, width = image.shape[:2]
        return DescriptorMap(
            features[0].permute(1, 2, 0).contiguous(),
            self.config.network.output_stride,
            height,
            width,
            self.config.metric,
        )

    @torch.inference_mode()
    def keypoints(self, image: npt.NDArray[np.uint8], camera: PinholeCamera) -> Keypoints:
        """The N keypoints of an RGB image (H, W, 3) uint8, as its camera sees them.

        Raises:
            InvalidInputError: not such an image, or the network has no keypoints.
        """
        logits, depths = self.network.keypoint_maps(self.forward(self.preprocess(image)))
        found = expectations(logits, depths, self.config.network.output_stride, camera.fx)
        return Keypoints(*(values[0] for values in found))

    def _trained(self) -> DescriptorNetwork:
        if not isinstance(self.network, DescriptorNetwork):
            raise WeightsError(
                "an exported model cannot be saved or changed: take the file it was made from"
            )
        return self.network

    def _tensors(self) -> dict[str, Tensor]:
        return {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }


def _read_safetensors(
    path: Path,
) -> tuple[dict[str, str], Callable[[NetworkConfig], FeatureNetwork]]:
    """The metadata of a weights file, and what makes its network."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            stored = {name: file.get_tensor(name) for name in names}
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot read weights {path}: {error}") from error

    def make_network(config: NetworkConfig) -> DescriptorNetwork:
        network = DescriptorNetwork(config)
        network.load_state_dict(expanded(stored))
        return network

    return metadata, make_network


def _pick_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError(f"unknown device {name!r}: use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInputError("device cuda was asked for, but this machine has no usable GPU")
    return device


def _pick_precision(name: str, device: torch.device) -> str:
    if name == "auto":
        able = any(torch.cpu.get_capabilities().get(each) for each in COMPUTE_BFLOAT16)
        return "bfloat16" if device.type == "cpu" and able else "float32"
    if name not in PRECISIONS:
        choices = ", ".join(["auto", *PRECISIONS])
        raise InvalidInputError(f"unknown precision {name!r}: use {choices}")
    return name
