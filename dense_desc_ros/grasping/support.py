"""Which points around that of a reference are stored when it is registered."""

import cv2
import numpy as np
import torch

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.region import Mask
from dense_desc_ros.grasping.surface import measure_points
from dense_desc_ros.references import Support
from dense_desc_ros.rgbd_frame import RgbdFrame

POINTS = 48  # of a view
REACH = 0.15  # m from the point; further away there may be another object
CANDIDATES = 3000
FEWEST_POINTS = 12  # fewer tell no pose


def choose_support(
    frame: RgbdFrame, descriptors: DescriptorMap, region: Mask, T_camera_point: FloatArray
) -> Support:
    """Points all over a region, within REACH of the point of a reference.

    Each is the farthest from those chosen before (Eldar et al., "The farthest point strategy for
    progressive image sampling", 1997), so that near and far ones are there however few they are.

    None where fewer than FEWEST_POINTS are measured.

    Args:
        frame: what is seen.
        descriptors: of it.
        region: (H, W) the object.
        T_camera_point: (4, 4) the frame of the point.
    """
    # Not at its border, where depth may be that of what is behind.
    inner = cv2.erode(region.astype(np.uint8), np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero(inner)
    every = max(len(rows) // CANDIDATES, 1)
    pixels = np.stack([columns, rows], axis=1)[::every].astype(float)
    points = measure_points(frame, pixels)
    near = np.linalg.norm(points - T_camera_point[:3, 3], axis=1) < REACH  # False for NaN
    pixels, points = pixels[near], points[near]
    if len(points) < FEWEST_POINTS:
        return Support.none(descriptors.features.shape[-1])
    chosen = [int(np.linalg.norm(points - T_camera_point[:3, 3], axis=1).argmin())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(POINTS, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    in_point = (points[chosen] - T_camera_point[:3, 3]) @ T_camera_point[:3, :3]
    return Support(
        descriptors.sample(pixels[chosen]).float().cpu(),
        torch.from_numpy(in_point).float(),
        torch.zeros(len(chosen), dtype=torch.int32),
    )
