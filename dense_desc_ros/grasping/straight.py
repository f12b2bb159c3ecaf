"""A grasp by one point alone: straight into the surface, or straight down."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.errors import MissingDepthError
from dense_desc_ros.grasping.batches import batches
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.surface import fit_surface
from dense_desc_ros.matching import Matches
from dense_desc_ros.references import Reference
from dense_desc_ros.rgbd_frame import RgbdFrame

SPREAD_WINDOW = 3  # features around the best one, whose likeness tells how sure its place is
SPREAD_TEMPERATURE = 0.05
MOST_VIEWS = 64  # at a time; each may take a map at the image's full size


def find_straight(
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    references: Sequence[Reference],
    count: int,
    radius: int,
    down: FloatArray | None = None,
) -> list[list[PointPose | NotFound]]:
    """The point of each reference where it matches best, with a frame straight into the surface.

    Args:
        frame, descriptors: what is seen.
        references: what is looked for.
        count: so many places of each at most, best first.
        radius: how far apart they are at least, pixels.
        down: (3,) unit vector in the camera frame to grasp along, instead of the inward normal.
    """
    places = [
        found
        for some in batches(references, lambda each: len(each.descriptors), MOST_VIEWS)
        for found in _places(descriptors, some, count, radius)
    ]
    return [
        [
            _pose(frame, descriptors, reference, pixel, float(similarity), down)
            for pixel, similarity in zip(matches.pixels.numpy(), matches.scores, strict=True)
        ]
        for reference, matches in zip(references, places, strict=True)
    ]


def _places(
    descriptors: DescriptorMap, references: Sequence[Reference], count: int, radius: int
) -> list[Matches]:
    """Where each reference is most alike, by the best of its views."""
    views = torch.cat([r.descriptors for r in references]).to(descriptors.features.device)
    counts = [len(r.descriptors) for r in references]
    if count == 1:
        pixels, scores = (x.cpu().split(counts) for x in descriptors.match(views))
        best = [int(s.argmax()) for s in scores]
        return [Matches(p[[b]], s[[b]]) for p, s, b in zip(pixels, scores, best, strict=True)]
    instances = descriptors.match_instances(views, count, radius, counts)
    return [Matches(found.pixels.cpu(), found.scores.cpu()) for found in instances]


def point_frame(point: FloatArray, into: FloatArray) -> FloatArray:
    """The frame (4, 4) of a point (3,), in the camera's: what grasps are taught relative to.

    Its z is the unit vector `into` (3,), the inward normal or straight down; x the camera's x axis
    laid perpendicular to it; y = z × x, along which the fingers close.
    """
    x = np.array([1.0, 0.0, 0.0])
    x -= (x @ into) * into
    if np.linalg.norm(x) < 1e-3:  # looking along the surface's x axis: any direction in it will do
        x = np.cross([0.0, 1.0, 0.0], into)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(into, x), into], axis=1)
    pose[:3, 3] = point
    return pose


def _pose(
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    reference: Reference,
    pixel: FloatArray,
    similarity: float,
    down: FloatArray | None,
) -> PointPose | NotFound:
    score = reference.score("straight", similarity)
    try:
        patch = fit_surface(frame, pixel)
    except MissingDepthError as error:
        return NotFound(score, str(error))
    spread_px = _spread(descriptors, reference.descriptors, pixel)
    return PointPose(
        point_frame(patch.point, -patch.normal if down is None else down),
        pixel,
        "straight",
        score,
        inliers=1,
        spread_px=spread_px,
        spread=spread_px * float(patch.point[2]) / frame.camera.fx,
    )


def _spread(descriptors: DescriptorMap, views: Tensor, pixel: FloatArray) -> float:
    """Root mean square distance of what is as similar as a pixel from it, nearby, in pixels."""
    features, stride = descriptors.features, descriptors.stride
    u, v = (int(x) for x in np.rint((pixel + 0.5) / stride - 0.5))
    top, left = max(v - SPREAD_WINDOW, 0), max(u - SPREAD_WINDOW, 0)
    window = features[top : v + SPREAD_WINDOW + 1, left : u + SPREAD_WINDOW + 1]
    around = DescriptorMap(window, stride, stride, stride, descriptors.metric)
    similarity = around.feature_similarity(views.to(features.device)).amax(dim=0)
    weights = (similarity / SPREAD_TEMPERATURE).flatten().softmax(dim=0).view_as(similarity)
    share = weights.double().cpu().numpy()
    rows, columns = ((np.arange(n) + 0.5) * stride - 0.5 for n in share.shape)
    squared = (rows + top * stride - pixel[1])[:, None] ** 2 + (
        columns + left * stride - pixel[0]
    ) ** 2
    return float(np.sqrt((share * squared).sum()))
