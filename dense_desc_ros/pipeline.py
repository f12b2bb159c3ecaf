"""The whole way, frame in, grasps out: what the node, the replay and the command line all call."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.grasping.aligned import SeenKeypoints, find_aligned
from dense_desc_ros.grasping.choice import choose_grasps
from dense_desc_ros.grasping.grasp import METHODS, Grasp, NotFound, PointPose, Refusal
from dense_desc_ros.grasping.registered import find_registered
from dense_desc_ros.grasping.registration import Registration, make_reference, merged
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.grasping.steadying import PoseSteadier
from dense_desc_ros.grasping.straight import find_straight
from dense_desc_ros.grasping.visible import VisibleSurface
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.references import Reference, check_name
from dense_desc_ros.rgbd_frame import RgbdFrame


@dataclass(frozen=True)
class Timings:
    """Seconds spent from pixels to the network's input, on the bare network forward, on finding
    poses, and on grasps at them; and on all of that."""

    preprocess: float = 0.0
    forward: float = 0.0
    matching: float = 0.0
    grasp: float = 0.0

    @property
    def total(self) -> float:
        return self.preprocess + self.forward + self.matching + self.grasp


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What was found in a frame, best score first for each reference, in order of name."""

    frame: RgbdFrame
    descriptors: DescriptorMap
    grasps: list[Grasp]
    refusals: list[Refusal]
    timings: Timings


class GraspPipeline:
    """Finds registered references in RGB-D frames, and grasps there.

    Args:
        model: computes the descriptors.
        store: the references, made by this model.
        settings: how grasps are chosen; may be replaced between frames.
    """

    def __init__(
        self,
        model: DescriptorModel,
        store: ReferenceStore,
        settings: PipelineSettings | None = None,
    ) -> None:
        self.model = model
        self.store = store
        self.settings = settings or PipelineSettings()
        self._steadier = PoseSteadier()

    def process(self, frame: RgbdFrame, T_base_camera: FloatArray | None = None) -> FrameResult:
        """Describe a frame and find every reference in it.

        Args:
            frame: what is seen.
            T_base_camera: (4, 4) pose of the camera in a frame whose z is up, if known.
        """
        start = time.perf_counter()
        pixels = self.model.preprocess(frame.image)
        preprocessed = time.perf_counter()
        features = self.model.forward(pixels)
        if features.is_cuda:  # which has only been told what to do
            torch.cuda.synchronize(features.device)
        described = Timings(preprocessed - start, time.perf_counter() - preprocessed)
        descriptors = self.model.wrap(features, frame.image)
        steady = self.settings.steady
        return self._find(frame, descriptors, list(self.store), T_base_camera, described, steady)

    def find(
        self,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
        names: Sequence[str] | None = None,
        T_base_camera: FloatArray | None = None,
    ) -> FrameResult:
        """Find references, all or those named, in a frame that was described before.

        Raises:
            ReferenceStoreError: an unknown name.
        """
        wanted = list(self.store) if names is None else [self.store.get(name) for name in names]
        return self._find(frame, descriptors, wanted, T_base_camera)

    @torch.inference_mode()
    def register(
        self,
        frame: RgbdFrame,
        name: str,
        pixel: npt.ArrayLike,
        *,
        descriptors: DescriptorMap | None = None,
        mask: npt.NDArray[np.bool_] | None = None,
        T_point_grasp: FloatArray | None = None,
        opening_width: float = math.nan,
        append: bool = False,
    ) -> Registration:
        """Remember the point seen at a pixel, what surrounds it, and how to grasp there.

        Args:
            frame: what is seen.
            name: of the reference; an existing one is replaced, or with `append` gets another view.
            pixel: (u, v), fractions allowed.
            descriptors: of the frame, when they were computed before.
            mask: (H, W) the object, if known; else the surface that is connected with the pixel.
            T_point_grasp: (4, 4) the grasp in the frame of the point; None is the straight grasp.
            opening_width: of the gripper before closing, metres; NaN if unknown.
            append: the point is another view of that of an existing reference, whose grasp stays.

        Raises:
            InvalidInputError: impossible name, pixel, mask, pose or width.
            MissingDepthError: no usable depth around the pixel.
            ReferenceStoreError: the name is taken by a file that cannot be used.
            OSError: the reference could not be written.
        """
        check_name(name)
        if descriptors is None:
            descriptors = self.model.describe(frame.image)
        made = make_reference(
            self.model,
            frame,
            descriptors,
            name,
            np.asarray(pixel, dtype=float),
            mask,
            T_point_grasp,
            opening_width,
        )
        if append and name in self.store.names():
            made = merged(self.store.get(name), made, frame, descriptors)
        self.store.add(made.reference)
        return made

    @torch.inference_mode()
    def _find(
        self,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
        references: Sequence[Reference],
        T_base_camera: FloatArray | None,
        described: Timings = Timings(),
        steady: bool = False,
    ) -> FrameResult:
        start = time.perf_counter()
        found = self._poses(frame, descriptors, references, T_base_camera)
        if steady:
            found = {
                name: self._steadied(name, some, frame, T_base_camera)
                for name, some in found.items()
            }
        matched = time.perf_counter()
        surface = VisibleSurface(frame)
        grasps: list[Grasp] = []
        refusals: list[Refusal] = []
        pairs = [(each, answer) for each in references for answer in found[each.name]]
        chosen = iter(choose_grasps(surface, pairs, self.settings, T_base_camera))
        for reference in references:
            answers = list(islice(chosen, len(found[reference.name])))
            accepted = [answer for answer in answers if isinstance(answer, Grasp)]
            grasps += sorted(accepted, key=lambda grasp: -grasp.score)
            if not accepted:
                refusals += [answer for answer in answers if isinstance(answer, Refusal)][:1]
        matching, grasp = matched - start, time.perf_counter() - matched
        timings = replace(described, matching=matching, grasp=grasp)
        return FrameResult(frame, descriptors, grasps, refusals, timings)

    def _poses(
        self,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
        references: Sequence[Reference],
        T_base_camera: FloatArray | None,
    ) -> dict[str, list[PointPose | NotFound]]:
        """What the method of each reference finds of it, by name."""
        settings = self.settings
        by_method: dict[str, list[Reference]] = {method: [] for method in METHODS}
        found: dict[str, list[PointPose | NotFound]] = {}
        for reference in references:
            possible = _possible_methods(reference)
            method = possible[0] if settings.method == "auto" else settings.method
            if method in possible:
                by_method[method].append(reference)
            else:
                reason = f"it was registered without what the method {method!r} needs"
                found[reference.name] = [NotFound(0.0, reason)]
        down = None
        if settings.approach == "gravity" and T_base_camera is not None:
            down = -T_base_camera[2, :3]
        finders: dict[str, Callable[[list[Reference]], list[list[PointPose | NotFound]]]] = {
            "registered": lambda some: find_registered(
                frame, descriptors, some, settings.max_instances, settings.scales
            ),
            "aligned": lambda some: find_aligned(
                frame,
                SeenKeypoints(self.model.network, frame, descriptors),
                some,
                descriptors.stride,
                settings.scales,
            ),
            "straight": lambda some: find_straight(
                frame, descriptors, some, settings.max_instances, settings.instance_radius, down
            ),
        }
        for method, some in by_method.items():
            if some:
                names = [reference.name for reference in some]
                found |= zip(names, finders[method](some), strict=True)
        return found

    def _steadied(
        self,
        name: str,
        found: list[PointPose | NotFound],
        frame: RgbdFrame,
        T_base_camera: FloatArray | None,
    ) -> list[PointPose | NotFound]:
        """What was found of a reference, the poses of still objects averaged.

        A camera whose pose is not known is taken to stand still.
        """
        T_base_camera = np.eye(4) if T_base_camera is None else T_base_camera
        some = [answer for answer in found if isinstance(answer, PointPose)]
        if not some:
            return found
        poses = [T_base_camera @ answer.T_camera_point for answer in some]
        steady = self._steadier.steady(name, poses, frame.stamp_ns)
        T_camera_base = np.linalg.inv(T_base_camera)
        moved: list[PointPose | NotFound] = [
            replace(answer, T_camera_point=pose, pixel=frame.camera.project(pose[:3, 3]))
            for answer, pose in zip(some, T_camera_base @ np.array(steady), strict=True)
        ]
        return moved


def _possible_methods(reference: Reference) -> list[str]:
    """Those of METHODS that what was registered allows, best first."""
    needs = {
        "registered": len(reference.support) > 0,
        "aligned": len(reference.keypoints) > 0 and bool(reference.keypoints.isfinite().any()),
        "straight": True,
    }
    return [method for method in METHODS if needs[method]]
