"""The pose of a reference by the network's own keypoints, with measured depth.

Source: "Training Dense Object Nets: A Novel Approach" (2023): probabilities are switched off where
depth is missing, keypoints back-projected with the depth measured there, and those seen when the
reference was registered aligned to them.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.alignment import Flags
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.poses import Correspondences, find_poses
from dense_desc_ros.grasping.surface import measure_points
from dense_desc_ros.keypoints import expectations
from dense_desc_ros.network import FeatureNetwork
from dense_desc_ros.references import Reference
from dense_desc_ros.rgbd_frame import RgbdFrame


class SeenKeypoints:
    """The N keypoints of a network in a frame.

    Args:
        network: with keypoint heads.
        frame, descriptors: what is seen.

    Attributes:
        pixels: (N, 2).
        points: (N, 3) in the camera frame, metres, by measured depth; NaN where there is none.
        weights: (N,) the surer where a keypoint is, the greater.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
    ) -> None:
        logits, depths = network.keypoint_maps(descriptors.features.permute(2, 0, 1)[None])
        off = _without_depth(frame, descriptors)
        if not off.all():
            logits = logits.masked_fill(off.to(logits.device), -torch.inf)
        found = expectations(logits, depths, descriptors.stride, frame.camera.fx)
        corner = [frame.camera.width - 1, frame.camera.height - 1]
        self.pixels = np.clip(found.pixels[0].double().cpu().numpy(), 0, corner)
        self.points = measure_points(frame, self.pixels)
        spread = found.variances[0].double().cpu().numpy() / descriptors.stride**2
        self.weights: FloatArray = 1 / (1 + spread)


def find_aligned(
    frame: RgbdFrame,
    seen: SeenKeypoints,
    references: Sequence[Reference],
    stride: int,
    scales: tuple[float, float],
) -> list[list[PointPose | NotFound]]:
    """The pose of each reference, of which keypoints must be known: a network sees each only once.

    Args:
        frame: what is seen.
        seen: the keypoints in it.
        references: what is looked for.
        stride: pixels per feature.
        scales: least and greatest size of an object over that of the registered one.
    """
    if not references:
        return []
    registered = np.stack([reference.keypoints.double().numpy() for reference in references])
    known = np.isfinite(registered).all(axis=2)
    weights = np.where(known & np.isfinite(seen.points).all(axis=1), seen.weights, 0)

    def places(values: FloatArray) -> FloatArray:
        """One place for each keypoint, (R, N, 1, ...), the same for all references."""
        return np.broadcast_to(values[:, None], (len(references), len(values), 1, values.shape[1]))

    def scores(numbers: npt.NDArray[np.intp], agreeing: Flags) -> FloatArray:
        """By the share of the keypoints known of the object that agree on a pose."""
        shares = agreeing.sum(axis=(1, 2)) / np.maximum(known[numbers].sum(axis=1), 1)
        pairs = zip(numbers, shares.tolist(), strict=True)
        return np.array([references[number].score("aligned", share) for number, share in pairs])

    return find_poses(
        "aligned",
        Correspondences(
            np.nan_to_num(registered),
            places(np.nan_to_num(seen.points)),
            places(seen.pixels),
            weights[:, :, None],
        ),
        scores,
        frame.camera,
        stride,
        scales,
    )


def _without_depth(frame: RgbdFrame, descriptors: DescriptorMap) -> Tensor:
    """Features (h, w) in which there is no depth anywhere."""
    stride, (height, width) = descriptors.stride, descriptors.features.shape[:2]
    known = torch.from_numpy(np.isfinite(frame.depth)).float()
    known = functional.pad(
        known, (0, width * stride - known.shape[1], 0, height * stride - known.shape[0])
    )
    return functional.avg_pool2d(known[None], stride)[0] == 0
