"""The descriptors of one image: full-resolution answers, computed at feature resolution."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.backends.mkldnn import MkldnnModule
from torch.nn import functional

from dense_desc_ros import matching
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.matching import Matches

FAR_OFF = 100.0  # of each number of a descriptor: exp(-distance²) to any real one is 0
METRICS = ("cosine", "l2")
PRODUCTS = MkldnnModule.matmul  # how they are computed, in the whole process
SETTING = Lock()  # of that


@contextmanager
def _quick_products() -> Iterator[None]:
    """Factors of products of matrices may be rounded to bfloat16 where that takes less time.

    Where it does not, PyTorch computes them by oneDNN all the same, not by MKL, which took more
    than twice as long on an AMD EPYC.
    """
    with SETTING:  # or one of two threads might put back what the other one has set
        before = PRODUCTS.fp32_precision
        PRODUCTS.fp32_precision = "bf16"
        try:
            yield
        finally:
            PRODUCTS.fp32_precision = before


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

        Quickly: a processor that multiplies matrices in bfloat16 may round both to it first.

        Raises:
            InvalidInputError: references of another length than this map's descriptors.
        """
        references = self._prepare(references)
        features = self._unit_features if self.metric == "cosine" else self.features
        with _quick_products():
            dots = matching.feature_dots(features, references)
        if self.metric == "cosine":
            return dots
        squared = references.square().sum(dim=1)[:, None, None]
        return (2 * dots - self._own_norms - squared).clamp_max(0).exp()

    def without(self, features: Tensor) -> "DescriptorMap":
        """The map in which some features, (h, w) bool, are like nothing."""
        nothing = 0.0 if self.metric == "cosine" else FAR_OFF
        kept = self.features.masked_fill(features[..., None], nothing)
        return DescriptorMap(kept, self.stride, self.height, self.width, self.metric)

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
