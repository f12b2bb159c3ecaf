"""A reference made of one click: the point, what surrounds it, and how it stands out."""

import math
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasping.aligned import SeenKeypoints, find_aligned
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.region import Mask, grow_region
from dense_desc_ros.grasping.registered import find_registered
from dense_desc_ros.grasping.straight import point_frame
from dense_desc_ros.grasping.support import REACH, choose_support
from dense_desc_ros.grasping.surface import fit_surface
from dense_desc_ros.references import Level, Reference, check_transform
from dense_desc_ros.rgbd_frame import RgbdFrame

MAX_VIEWS = 20  # of a reference: more only cost time and memory
FARTHEST_GRASP = 0.3  # m from the point; what is taught further away is a mistake in units or frame
SAME_SIZE = (1.0, 1.0)
POSES_TRIED = 5  # of a stored reference in a further view: the first may be a likeness
SAME_POINT, SAME_NORMAL = 0.03, 0.7  # m, and a cosine, by which a pose may differ from the click
USUAL_REST = 0.15  # of `own`, by the method registered: what the rest of pictures of caps reaches
RELIED = 0.25  # how much the rest of the picture of a registration counts beside that
MOST_REST = 0.9  # of `own`: more is another object of the kind in the picture, and tells nothing


@dataclass(frozen=True, eq=False)
class Registration:
    """A stored reference, and where its point was seen.

    Attributes:
        reference: as it is stored.
        T_camera_point: (4, 4) the frame of the point in the camera's.
        remark: what the user should know; empty if nothing.
    """

    reference: Reference
    T_camera_point: FloatArray
    remark: str = ""

    @property
    def point(self) -> FloatArray:
        """(3,) in the camera frame, metres."""
        return self.T_camera_point[:3, 3]


def make_reference(
    model: DescriptorModel,
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    name: str,
    pixel: FloatArray,
    mask: Mask | None = None,
    T_point_grasp: FloatArray | None = None,
    opening_width: float = math.nan,
) -> Registration:
    """The reference of a pixel, as `GraspPipeline.register` takes it; nothing is stored.

    Raises:
        InvalidInputError: impossible name, pixel, mask, pose or width.
        MissingDepthError: no usable depth around the pixel.
    """
    if T_point_grasp is None:
        T_point_grasp = np.eye(4)
    check_transform(T_point_grasp)
    if np.linalg.norm(T_point_grasp[:3, 3]) > FARTHEST_GRASP:
        raise InvalidInputError(
            f"the grasp is {np.linalg.norm(T_point_grasp[:3, 3]):.2f} m from the point, more than "
            f"{FARTHEST_GRASP} m: give it in metres, in the frame of the point"
        )
    patch = fit_surface(frame, pixel, mask)
    T_camera_point = point_frame(patch.point, -patch.normal)
    region = grow_region(frame, pixel, REACH) if mask is None else mask
    reference = Reference(
        name,
        descriptors.sample(pixel[None]).float().cpu(),
        model.fingerprint,
        T_point_grasp,
        opening_width,
        choose_support(frame, descriptors, region, T_camera_point),
        _keypoints(model, frame, descriptors, region, T_camera_point),
    )
    reference = replace(reference, levels=_levels(model, frame, descriptors, reference, region))
    remark = ""
    if not len(reference.support):
        remark = "no surface was measured around the point, so its grasps can only be straight"
    return Registration(reference, T_camera_point, remark)


def merged(
    stored: Reference, new: Registration, frame: RgbdFrame, descriptors: DescriptorMap
) -> Registration:
    """A stored reference with another view of the same point, whose grasp stays.

    The new surroundings are added where the stored ones are recognised in the new view, which tells
    how the two views' frames of the point lie to each other.

    Raises:
        InvalidInputError: there are MAX_VIEWS already.
    """
    if len(stored.descriptors) >= MAX_VIEWS:
        raise InvalidInputError(
            f"{stored.name} has {MAX_VIEWS} views, as many as a reference may have: register it "
            "anew, without append, or another name"
        )
    views = torch.cat([stored.descriptors, new.reference.descriptors])
    support, remark = stored.support, "its surroundings are too unlike the stored ones to be added"
    if len(stored.support) and len(new.reference.support):
        (found,) = find_registered(frame, descriptors, [stored], POSES_TRIED, SAME_SIZE)
        here = [each for each in found if _is_at(each, new.T_camera_point)]
        if here:
            T_stored_new = np.linalg.inv(here[0].T_camera_point) @ new.T_camera_point
            rotation, shift = (
                torch.from_numpy(x).float() for x in (T_stored_new[:3, :3], T_stored_new[:3, 3])
            )
            added = replace(
                new.reference.support,
                points=new.reference.support.points @ rotation.T + shift,
                views=new.reference.support.views + int(support.views.max()) + 1,
            )
            support, remark = support.joined(added), ""
    levels = {
        method: Level(*np.maximum(level, new.reference.levels.get(method, level)))
        for method, level in stored.levels.items()
    }
    reference = replace(stored, descriptors=views, support=support, levels=levels)
    return Registration(reference, new.T_camera_point, remark)


def _is_at(found: PointPose | NotFound, T_camera_point: FloatArray) -> TypeGuard[PointPose]:
    """Whether a pose puts the point where it was shown, on the same side of the surface."""
    if not isinstance(found, PointPose):
        return False
    off = np.linalg.norm(found.point - T_camera_point[:3, 3])
    facing = found.T_camera_point[:3, 2] @ T_camera_point[:3, 2]
    return bool(off <= SAME_POINT and facing >= SAME_NORMAL)


def _keypoints(
    model: DescriptorModel,
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    region: Mask,
    T_camera_point: FloatArray,
) -> Tensor:
    """The keypoints (N, 3) in the frame of the point, NaN off the object."""
    if not model.config.network.keypoints:
        return torch.empty(0, 3)
    seen = SeenKeypoints(model.network, frame, descriptors)
    u, v = np.rint(seen.pixels).astype(int).T
    in_point = (seen.points - T_camera_point[:3, 3]) @ T_camera_point[:3, :3]
    in_point[~region[v, u]] = np.nan
    return torch.from_numpy(in_point).float()


def _levels(
    model: DescriptorModel,
    frame: RgbdFrame,
    descriptors: DescriptorMap,
    reference: Reference,
    region: Mask,
) -> dict[str, Level]:
    """What speaks for the reference, by each method, where it is and in the rest of its picture."""
    rest_frame = replace(frame, depth=np.where(region, np.float32(np.nan), frame.depth))
    rest_descriptors = descriptors.without(_features_of(region, descriptors))
    views = reference.descriptors.to(descriptors.features.device)
    levels = {"straight": _level(float(rest_descriptors.match(views).scores.max()), 1.0)}
    pictures = (rest_frame, rest_descriptors), (frame, descriptors)
    if len(reference.support):
        rest, own = (
            find_registered(*picture, [reference], 1, SAME_SIZE)[0][0].score for picture in pictures
        )
        # One picture is little to tell by: by its rest alone absence is told less surely than by
        # what is usual.
        levels["registered"] = _level(RELIED * rest + (1 - RELIED) * USUAL_REST * own, own)
    if reference.keypoints.isfinite().any():
        levels["aligned"] = _level(
            *(
                find_aligned(
                    picture[0],
                    SeenKeypoints(model.network, *picture),
                    [reference],
                    descriptors.stride,
                    SAME_SIZE,
                )[0][0].score
                for picture in pictures
            )
        )
    return levels


def _level(rest: float, own: float) -> Level:
    return Level(min(max(rest, 0.0), MOST_REST * own), own)


def _features_of(region: Mask, descriptors: DescriptorMap) -> Tensor:
    """Features (h, w) bool that show a region (H, W), or are beside one that does."""
    stride, (height, width) = descriptors.stride, descriptors.features.shape[:2]
    pixels = torch.from_numpy(region).float()
    pixels = functional.pad(
        pixels, (0, width * stride - pixels.shape[1], 0, height * stride - pixels.shape[0])
    )
    cells = functional.max_pool2d(pixels[None], stride)
    return (functional.max_pool2d(cells, 3, stride=1, padding=1)[0] > 0).to(
        descriptors.features.device
    )
