"""How much speaks for registered points in pictures with their object, and in pictures without."""

import tempfile
from contextlib import suppress

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.posed import PosedFrame
from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.errors import MissingDepthError
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.rgbd_frame import RgbdFrame

POINTS = 8  # registered in a picture

DescribedFrame = tuple[PosedFrame, DescriptorMap]


def presence_scores(
    model: DescriptorModel,
    reference: DescribedFrame,
    pixels: FloatArray,
    others: tuple[DescribedFrame, ...],
) -> list[list[float]]:
    """The best scores of points, registered in one picture as a user does, in each of others.

    Args:
        model: that described the pictures.
        reference: where points are registered, with the object's mask.
        pixels: (N, 2) on the object, of which the first POINTS with depth are registered.
        others: pictures that are searched.

    Returns:
        For each of the others the scores (see `grasping.grasp.PointPose`) of all points.
    """
    frame, described = reference
    with tempfile.TemporaryDirectory(prefix="presence_") as folder:
        pipeline = GraspPipeline(model, ReferenceStore(folder, model.fingerprint))
        for number, pixel in enumerate(pixels[:POINTS]):
            with suppress(MissingDepthError):
                pipeline.register(
                    _rgbd(frame), f"p{number}", pixel, descriptors=described, mask=frame.mask
                )
        found = [pipeline.find(_rgbd(other), descriptors) for other, descriptors in others]
    return [
        [grasp.score for grasp in result.grasps] + [refusal.score for refusal in result.refusals]
        for result in found
    ]


def _rgbd(frame: PosedFrame) -> RgbdFrame:
    return RgbdFrame(frame.image, frame.depth, frame.camera)
