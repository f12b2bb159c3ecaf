"""Dense descriptors of an image, and the model that computes them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors
import torch
from safetensors.torch import save as serialize
from torch import Tensor
from torch.nn import functional

from dense_desc_ros import matching
from dense_desc_ros.camera import PinholeCamera, check_image
from dense_desc_ros.errors import DenseDescError, InvalidInputError, WeightsError
from dense_desc_ros.files import write_atomically
from dense_desc_ros.keypoints import Keypoints, expectations
from dense_desc_ros.matching import Matches
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig

NEAR_TEMPERATURE = 0.05  # of similarities, in `match_near`
FAR_OFF = 100.0  # of each number of a descriptor: exp(-distance²) to any real one is 0
METRICS = ("cosine", "l2")
LATER_FIELDS = ("keypoints", "input_stride")  # left out at their defaults: fingerprints stay


class DescriptorMap:
    """The descriptors of one image: a vector for every pixel, kept at feature resolution.

    Args:
        features: (h, w, D) descriptors at feature resolution.
        stride: image pixels per feature.
        height, width: size of the image; h·stride and w·stride reach at least that far.
        metric: "cosine", similarity in [-1, 1]; or "l2", similarity exp(-‖a - b‖²) in (0, 1], the
            kernel of "Training Dense Object Nets: A Novel Approach" at temperature 1.
    """

    def __init__(
        self, features: Tensor, stride: int, height: int, width: int, metric: str = "cosine"
    ) -> None:
        if metric not in METRICS:
            raise InvalidInputError(f"unknown metric {metric!r}: use one of {METRICS}")
        self.features = matching.at_least_two(features)
        self.stride, self.height, self.width, self.metric = stride, height, width, metric

    def sample(self, pixels: npt.ArrayLike) -> Tensor:
        """Descriptors (K, D) at pixels (K, 2), given as (u, v); fractions are interpolated.

        Raises:
            InvalidInputError: a pixel that is not finite or not on the image.
        """
        uv = np.asarray(pixels, dtype=np.float32)
        if uv.ndim != 2 or uv.shape[1] != 2:
            raise InvalidInputError(f"pixels must be (K, 2), got shape {uv.shape}")
        limits = np.array([self.width, self.height]) - 0.5
        outside = ~np.all((uv >= -0.5) & (uv < limits), axis=1)  # also true for NaN
        if outside.any():
            u, v = uv[outside][0]
            raise InvalidInputError(
                f"pixel ({u:g}, {v:g}) is outside the {self.width}x{self.height} image"
            )
        points = torch.from_numpy(uv).to(self.features)
        return matching.sample(self.features, points, self.stride)

    @cached_property
    def _norms(self) -> Tensor:
        """By cell: inverse norms for "cosine", squared norms for "l2"; computed once a frame."""
        squared = matching.squared_norms(self.features, self.stride)
        return squared.clamp_min_(1e-12).rsqrt_() if self.metric == "cosine" else squared

    @cached_property
    def _own_norms(self) -> Tensor:
        """The same of the features themselves."""
        squared = torch.linalg.vecdot(self.features, self.features)
        return squared.clamp_min_(1e-12).rsqrt_() if self.metric == "cosine" else squared

    @cached_property
    def _unit_features(self) -> Tensor:
        return self.features * self._own_norms[..., None]

    @cached_property
    def _slacks(self) -> Tensor:
        """By cell, how far values can lie above those at its corners; computed once a frame."""
        return matching.slacks(self.features, self._norms, self.stride, self.metric)

    def similarity(self, references: Tensor) -> Tensor:
        """Similarity maps (K, H, W) of references (K, D) with the descriptor of every pixel.

        Raises:
            InvalidInputError: references of another length than this map's descriptors.
        """
        references = self._prepare(references)
        size = self.stride, self.height, self.width
        dots = matching.dot_products(self.features, references, *size)
        norms = matching.as_image(self._norms, self.features, *size)
        if self.metric == "cosine":
            return dots.mul_(norms)
        own = references.square().sum(dim=1)[:, None, None]
        return dots.mul_(2).sub_(norms).sub_(own).clamp_max_(0).exp_()

    def match(self, references: Tensor) -> Matches:
        """The best pixel of the whole image, and its similarity, for each reference (K, D).

        Raises:
            InvalidInputError: references of another length than this map's descriptors.
        """
        references = self._prepare(references)
        dots = matching.feature_dots(self.features, references)
        size = self.stride, self.height, self.width
        own, norms, slack = self._own_norms, self._norms, self._slacks
        pixels, values = matching.find_best(dots, own, norms, slack, *size, self.metric)
        if self.metric == "l2":
            values = (values - references.square().sum(dim=1)).clamp_max(0).exp()
        return Matches(pixels, values)

    def feature_similarity(self, references: Tensor) -> Tensor:
        """Similarity maps (K, h, w) of references (K, D) with the features themselves.

        Raises:
            InvalidInputError: references of another length than this map's descriptors.
        """
        references = self._prepare(references)
        if self.metric == "cosine":
            return matching.feature_dots(self._unit_features, references)
        dots = matching.feature_dots(self.features, references)
        squared = references.square().sum(dim=1)[:, None, None]
        return (2 * dots - self._own_norms - squared).clamp_max(0).exp()

    def without(self, features: Tensor) -> "DescriptorMap":
        """The map in which some features, (h, w) bool, are like nothing."""
        nothing = 0.0 if self.metric == "cosine" else FAR_OFF
        kept = self.features.masked_fill(features[..., None], nothing)
        return DescriptorMap(kept, self.stride, self.height, self.width, self.metric)

    def match_features(self, references: Tensor, count: int = 1) -> Matches:
        """The best places among the features: coarser than `match`, for many references at a time.

        Args:
            references: (K, D).
            count: how many local maxima of each.

        Returns:
            `pixels` (K, count, 2), between the features by parabolas; `scores` (K, count), -inf
            where there are fewer.

        Raises:
            InvalidInputError: references of another length than this map's descriptors.
        """
        similarity = self.feature_similarity(references)
        return matching.find_feature_peaks(similarity, count, self.stride)

    def match_near(self, references: Tensor, pixels: Tensor, radius: int) -> Matches:
        """Where references are in the neighbourhood of pixels, between the features.

        The mean of the features' places, weighted by exp(similarity / 0.05): where the surface
        looks alike in all directions this strays less than the single best place.

        Args:
            references: (K, D).
            pixels: (K, 2) around which each is looked for; also off the image.
            radius: how far, in features, along u and v.

        Returns:
            `pixels` (K, 2), and `scores` (K,) of the best features.

        Raises:
            InvalidInputError: references of another length than this map's descriptors.
        """
        references = self._prepare(references)
        features = self._unit_features if self.metric == "cosine" else self.features
        around, centres = matching.windows(features, pixels, radius, self.stride)
        similarity = torch.linalg.vecdot(around, references[:, None])
        if self.metric == "l2":
            similarity = (around - references[:, None]).square().sum(dim=2).neg().exp()
        weights = (similarity / NEAR_TEMPERATURE).softmax(dim=1)
        return Matches((weights[..., None] * centres).sum(dim=1), similarity.amax(dim=1))

    def match_instances(
        self, views: Tensor, count: int, radius: int, views_per_reference: Sequence[int] = ()
    ) -> list[Matches]:
        """For each reference up to `count` pixels, best first, more than `radius` px apart.

        Args:
            views: (K, D) descriptors.
            count, radius: how many at most, and how far apart at least, in pixels.
            views_per_reference: how many of the K consecutive descriptors are views of one
                reference, whose best one counts at each pixel; each is its own if not given.
        """
        similarity = self.similarity(views)
        if views_per_reference:
            groups = similarity.split(list(views_per_reference))
            similarity = torch.stack([group.amax(dim=0) for group in groups])
        return matching.find_peaks(similarity, count, radius)

    def _prepare(self, references: Tensor) -> Tensor:
        dim = self.features.shape[-1]
        if references.ndim != 2 or references.shape[1] != dim:
            raise InvalidInputError(
                f"references must be (K, {dim}) like this model's descriptors, "
                f"got {tuple(references.shape)}"
            )
        return functional.normalize(references, dim=1) if self.metric == "cosine" else references


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
    """

    def __init__(
        self, network: DescriptorNetwork, metric: str = "cosine", device: str = "auto"
    ) -> None:
        self.config = ModelConfig(network.config, metric)
        self.device = _pick_device(device)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self.notes: Mapping[str, str] = {}  # what its file says besides, for people

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> "DescriptorModel":
        """Read a safetensors file written by `save`.

        Raises:
            WeightsError: the file is missing, truncated, or not of a model of this package.
        """
        path = Path(path)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise WeightsError(f"cannot read weights {path}: {error}") from error
        if "dense_desc_ros" not in metadata:
            raise WeightsError(f"{path} holds no model of dense_desc_ros (no such metadata in it)")
        try:
            config = ModelConfig.from_json(metadata["dense_desc_ros"])
            network = DescriptorNetwork(config.network)
            network.load_state_dict(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, DenseDescError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(f"{path} does not fit its own description: {reason}") from error
        model = cls(network, config.metric, device)
        model.notes = {key: note for key, note in metadata.items() if key != "dense_desc_ros"}
        return model

    def save(self, path: str | Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the weights and their description to one safetensors file, atomically.

        Args:
            path: the file.
            notes: further metadata of it, beside those the model has already, for people; for
                instance how it was trained.
        """
        metadata = {**self.notes, **(notes or {}), "dense_desc_ros": self.config.to_json()}
        write_atomically(Path(path), serialize(self._tensors(), metadata))

    @cached_property
    def fingerprint(self) -> str:
        """Identifies weights and configuration: SHA-256, 64 hexadecimal digits."""
        digest = hashlib.sha256(self.config.to_json().encode())
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
        height, width = image.shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        pixels = pixels.permute(2, 0, 1)[None].float().div_(255)
        whole = self.config.network.coarsest_stride
        padding = (0, -width % whole, 0, -height % whole)
        if any(padding):
            pixels = functional.pad(pixels, padding, mode="replicate")
        return pixels.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """The bare network: (1, D, h, w) features of preprocessed pixels (1, 3, H', W')."""
        return self.network(pixels)

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

    def _tensors(self) -> dict[str, Tensor]:
        return {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }


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
