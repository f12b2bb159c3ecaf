"""The network's keypoints in a frame: where they are in the picture and in space."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.surface import measure_points
from dense_desc_ros.keypoints import expectations
from dense_desc_ros.network import FeatureNetwork
from dense_desc_ros.rgbd_frame import RgbdFrame


@dataclass(frozen=True, eq=False)
class LocatedKeypoints:
    """The N keypoints of a network in a frame.

    Attributes:
        pixels: (N, 2) as (u, v), on the image.
        points: (N, 3) in the camera frame, metres.
        is_measured: (N,) bool, by the camera's depth; else by the network's own, for want of it.
        spreads_px: (N,) standard deviation, the root mean square distance of a keypoint's
            probability from its pixel.
    """

    pixels: FloatArray
    points: FloatArray
    is_measured: npt.NDArray[np.bool_]
    spreads_px: FloatArray


@torch.inference_mode()
def locate_keypoints(
    network: FeatureNetwork, frame: RgbdFrame, descriptors: DescriptorMap
) -> LocatedKeypoints:
    """The keypoints of a network in a frame that it has described, wherever it believes them.

    Raises:
        InvalidInputError: the network has no keypoints.
    """
    maps = network.keypoint_maps(descriptors.features.permute(2, 0, 1)[None])
    found = expectations(*maps, descriptors.stride, frame.camera.fx)
    pixels, depths, variances = (values[0].double().cpu().numpy() for values in found)
    pixels = np.clip(pixels, 0, [frame.camera.width - 1, frame.camera.height - 1])
    measured = measure_points(frame, pixels)
    is_measured = np.isfinite(measured[:, 2])
    believed = frame.camera.back_project(pixels, depths)
    points = np.where(is_measured[:, None], measured, believed)
    return LocatedKeypoints(pixels, points, is_measured, np.sqrt(variances))
