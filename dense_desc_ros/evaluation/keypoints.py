"""Whether a model's keypoints stay on the object, and how well two views are aligned by them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dense_desc_ros import se3
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.correspondences import by_canonical, by_geometry
from dense_desc_ros.data.posed import PosedFrame
from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.evaluation.pck import pixel_errors
from dense_desc_ros.keypoints import expectations

REPEATED_PX = 5.0  # of a 640x480 image
DescribedFrame = tuple[PosedFrame, DescriptorMap]


@dataclass(frozen=True)
class KeypointResult:
    """The keypoints of one pair of frames.

    Attributes:
        count: of keypoints.
        visible: those that lie on the object in the reference, at a point that the target shows.
        repeated: those of the visible ones that lie within REPEATED_PX of that point in the target.
        rotation_deg, translation_mm: error of the relative pose; None if it is not defined, see
            `pose_error`.
    """

    count: int
    visible: int
    repeated: int
    rotation_deg: float | None
    translation_mm: float | None


def summarize(results: Sequence[KeypointResult]) -> dict[str, float | None]:
    """The figures of many pairs.

    Returns:
        `keypoint_visibility`, the share of keypoints that are on the object at a point that both
        views show; `keypoint_repeatability`, the share of these that are repeated (after Schmid et
        al., "Evaluation of Interest Point Detectors", 2000); `pose_rotation_deg` and
        `pose_translation_mm`, medians over the pairs. What cannot be computed is None.
    """
    visible = sum(result.visible for result in results)
    rotations = [r.rotation_deg for r in results if r.rotation_deg is not None]
    translations = [r.translation_mm for r in results if r.translation_mm is not None]
    return {
        "keypoint_visibility": visible / sum(result.count for result in results),
        "keypoint_repeatability": (
            sum(result.repeated for result in results) / visible if visible else None
        ),
        "pose_rotation_deg": float(np.median(rotations)) if rotations else None,
        "pose_translation_mm": float(np.median(translations)) if translations else None,
    }


def compare_keypoints(
    model: DescriptorModel, a: DescribedFrame, b: DescribedFrame, canonical: bool
) -> KeypointResult:
    """Compare the keypoints of a reference a and a target b.

    Args:
        model: with keypoint heads.
        a, b: frames, and what `model` says of them.
        canonical: the two show different objects, whose points correspond by their canonical
            coordinates; there is no relative pose then.
    """
    frame_a, frame_b = a[0], b[0]
    pixels_a, pixels_b = expected_pixels(model, *a), expected_pixels(model, *b)
    on_object = _at(frame_a.mask, pixels_a) & np.isfinite(_at(frame_a.depth, pixels_a))
    correspond = by_canonical if canonical else by_geometry
    truth, visible = correspond(frame_a, frame_b, pixels_a[on_object])
    errors = pixel_errors(pixels_b[on_object], truth, *frame_b.image.shape[:2])
    error = None if canonical else pose_error(frame_a, frame_b, pixels_a, pixels_b)
    return KeypointResult(
        count=len(pixels_a),
        visible=int(visible.sum()),
        repeated=int((visible & (errors <= REPEATED_PX)).sum()),
        rotation_deg=error[0] if error else None,
        translation_mm=error[1] if error else None,
    )


@torch.inference_mode()
def expected_pixels(
    model: DescriptorModel, frame: PosedFrame, described: DescriptorMap
) -> FloatArray:
    """Where each keypoint of the model is expected in a frame, pixels (N, 2) on the image."""
    logits, depths = model.network.keypoint_maps(described.features.permute(2, 0, 1)[None])
    found = expectations(logits, depths, described.stride, frame.camera.fx)
    corner = [described.width - 1, described.height - 1]
    return np.clip(found.pixels[0].double().cpu().numpy(), 0, corner)


def pose_error(
    a: PosedFrame, b: PosedFrame, pixels_a: FloatArray, pixels_b: FloatArray
) -> tuple[float, float] | None:
    """How far the object is off when b is aligned to a by corresponding pixels (N, 2).

    The pixels are back-projected with the measured depth, and fitted rigidly (Kabsch, all alike).
    With T̂_a_b from the fit, T_object_a T̂_a_b T_b_object is the identity if all is right.

    Returns:
        The angle (degrees) and the translation (millimetres) of that motion of the object in its
        own frame; None when fewer than three keypoints have depth in both views.
    """
    depth_a, depth_b = _at(a.depth, pixels_a), _at(b.depth, pixels_b)
    known = np.isfinite(depth_a) & np.isfinite(depth_b)
    if known.sum() < 3:
        return None
    points_a = a.camera.back_project(pixels_a[known], depth_a[known])
    points_b = b.camera.back_project(pixels_b[known], depth_b[known])
    T_a_b = se3.kabsch(torch.from_numpy(points_b), torch.from_numpy(points_a)).numpy()
    motion = a.T_object_camera @ T_a_b @ np.linalg.inv(b.T_object_camera)
    angle = float(se3.log_so3(torch.from_numpy(motion[:3, :3])).norm())
    return float(np.rad2deg(angle)), 1e3 * float(np.linalg.norm(motion[:3, 3]))


def _at(image: np.ndarray, pixels: FloatArray) -> np.ndarray:
    """Values (N,) of the pixels nearest to given ones (N, 2), which are on the image (H, W)."""
    u, v = np.rint(pixels).astype(int).T
    return image[v, u]
