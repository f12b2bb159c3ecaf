"""The whole way, frame in, grasps out: what the node, the replay and the command line all call."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dense_desc_ros.camera import FloatArray, RgbdFrame
from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
from dense_desc_ros.errors import InvalidInputError, MissingDepthError
from dense_desc_ros.grasps import Grasp, Refusal, fit_surface, straight_grasp
from dense_desc_ros.matching import Matches
from dense_desc_ros.references import Reference, ReferenceStore, check_name


@dataclass(frozen=True)
class PipelineSettings:
    """How grasps are chosen.

    Attributes:
        min_score: matches with a lower similarity are refused.
        max_instances: grasps given for one reference at most.
        instance_radius: instances are at least this far apart in the image, pixels.
    """

    min_score: float = 0.7
    max_instances: int = 1
    instance_radius: int = 30

    def __post_init__(self) -> None:
        if not -1 <= self.min_score <= 1:
            raise InvalidInputError(f"min_score {self.min_score} is not in [-1, 1]")
        if self.max_instances < 1 or self.instance_radius < 1:
            raise InvalidInputError("max_instances and instance_radius must be at least 1")


@dataclass(frozen=True)
class Timings:
    """Seconds spent on the bare network forward, on matching, and on depth and poses."""

    forward: float = 0.0
    matching: float = 0.0
    grasp: float = 0.0


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What was found in a frame, best score first for each reference, in order of name."""

    frame: RgbdFrame
    descriptors: DescriptorMap
    grasps: list[Grasp]
    refusals: list[Refusal]
    timings: Timings


@dataclass(frozen=True, eq=False)
class Registration:
    """A stored reference and where its point is: `point` (3,) in the camera frame, metres."""

    reference: Reference
    point: FloatArray


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

    def process(self, frame: RgbdFrame) -> FrameResult:
        """Describe a frame and find every reference in it."""
        pixels = self.model.preprocess(frame.image)
        start = time.perf_counter()
        features = self.model.forward(pixels)
        if features.is_cuda:  # which has only been told what to do
            torch.cuda.synchronize(features.device)
        forward = time.perf_counter() - start
        descriptors = self.model.wrap(features, frame.image)
        return self._find(frame, descriptors, list(self.store), forward)

    def find(
        self, frame: RgbdFrame, descriptors: DescriptorMap, names: Sequence[str] | None = None
    ) -> FrameResult:
        """Find references, all or those named, in a frame that was described before.

        Raises:
            ReferenceStoreError: an unknown name.
        """
        wanted = list(self.store) if names is None else [self.store.get(name) for name in names]
        return self._find(frame, descriptors, wanted, forward=0.0)

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
        """Remember the point seen at a pixel, and how to grasp there.

        Args:
            frame: what is seen.
            name: of the reference; an existing one is replaced, or with `append` gets another view.
            pixel: (u, v), fractions allowed.
            descriptors: of the frame, when they were computed before.
            mask: (H, W) the object, if known; see `grasps.fit_surface`.
            T_point_grasp: (4, 4) the grasp in the frame of the point; None is the straight grasp.
            opening_width: of the gripper before closing, metres; NaN if unknown.

        Raises:
            InvalidInputError: impossible name, pixel, mask, pose or width.
            MissingDepthError: no usable depth around the pixel.
            ReferenceStoreError: the name is taken by a file that cannot be used.
            OSError: the reference could not be written.
        """
        check_name(name)
        patch = fit_surface(frame, pixel, mask)
        uv = np.asarray(pixel, dtype=float)
        if descriptors is None:
            descriptors = self.model.describe(frame.image)
        reference = Reference(
            name,
            descriptors.sample(uv[None]).cpu(),
            self.model.fingerprint,
            np.eye(4) if T_point_grasp is None else T_point_grasp,
            opening_width,
        )
        return Registration(self.store.add(reference, append), patch.point)

    @torch.inference_mode()
    def _find(
        self,
        frame: RgbdFrame,
        descriptors: DescriptorMap,
        references: Sequence[Reference],
        forward: float,
    ) -> FrameResult:
        start = time.perf_counter()
        matches = self._match(descriptors, references)
        matched = time.perf_counter()
        grasps: list[Grasp] = []
        refusals: list[Refusal] = []
        for reference, match in zip(references, matches, strict=True):
            found = [
                self._grasp(frame, reference, pixel, float(score))
                for pixel, score in zip(match.pixels.numpy(), match.scores, strict=True)
            ]
            accepted = [grasp for grasp in found if isinstance(grasp, Grasp)]
            grasps += accepted
            if not accepted:
                refusals += [refusal for refusal in found if isinstance(refusal, Refusal)][:1]
        timings = Timings(forward, matched - start, time.perf_counter() - matched)
        return FrameResult(frame, descriptors, grasps, refusals, timings)

    def _match(self, descriptors: DescriptorMap, references: Sequence[Reference]) -> list[Matches]:
        """The best pixels of each reference, over all its views, on the CPU."""
        if not references:
            return []
        views = torch.cat([r.descriptors for r in references]).to(descriptors.features.device)
        counts = [len(r.descriptors) for r in references]
        if self.settings.max_instances == 1:
            pixels, scores = (x.cpu().split(counts) for x in descriptors.match(views))
            best = [int(s.argmax()) for s in scores]
            return [Matches(p[[b]], s[[b]]) for p, s, b in zip(pixels, scores, best, strict=True)]
        return [
            Matches(found.pixels.cpu(), found.scores.cpu())
            for found in descriptors.match_instances(
                views, self.settings.max_instances, self.settings.instance_radius, counts
            )
        ]

    def _grasp(
        self, frame: RgbdFrame, reference: Reference, pixel: FloatArray, score: float
    ) -> Grasp | Refusal:
        if score < self.settings.min_score:
            reason = f"best score {score:.2f} is below min_score {self.settings.min_score:.2f}"
            return Refusal(reference.name, score, reason)
        try:
            patch = fit_surface(frame, pixel)
        except MissingDepthError as error:
            return Refusal(reference.name, score, str(error))
        pose = straight_grasp(patch) @ reference.T_point_grasp
        return Grasp(reference.name, score, pixel, patch.point, pose, reference.opening_width)
