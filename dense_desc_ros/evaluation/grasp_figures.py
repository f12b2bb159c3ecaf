"""What was measured of grasps, and the figures that sum it up."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.evaluation.auroc import auroc
from dense_desc_ros.rgbd_frame import RgbdFrame

WRONG = 0.03  # m from every true grasp


class Condition(NamedTuple):
    """What lies on the table: `instances` of the `objects`, "seen" or "unseen".

    Seen is the very object that was registered; unseen are others of its kind.
    """

    objects: str
    instances: int


MAIN, ABSENT = Condition("seen", 1), Condition("seen", 0)  # in the latter are only other things


class Truth(NamedTuple):
    """True grasps of a reference in a picture, one of each object that has that place.

    `poses` (N, 4, 4) in the camera frame; `expected` (N,) bool, those that can be seen well enough
    to be asked for.
    """

    poses: FloatArray
    expected: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sighting:
    """One reference in one picture: the truth, and what a method made of it.

    Attributes:
        truth: what should be found.
        grasps: (M, 4, 4) what was published.
        score: the best similarity.
        refused: kind of reason why there is no grasp; "" if there is.
    """

    truth: Truth
    grasps: FloatArray
    score: float
    refused: str

    @property
    def distances(self) -> FloatArray:
        """(N, M) metres between the origins of true grasps and published ones."""
        gaps = self.truth.poses[:, None, :3, 3] - self.grasps[None, :, :3, 3]
        return np.asarray(np.linalg.norm(gaps, axis=-1))


class Example(NamedTuple):
    """A published grasp to look at, `error` metres off; poses (4, 4) are in the frames' cameras."""

    error: float
    reference: RgbdFrame
    registered: FloatArray
    frame: RgbdFrame
    truth: FloatArray
    found: FloatArray


@dataclass(eq=False)
class GraspBenchmark:
    """What was measured.

    Attributes:
        scenes: pictures of each condition.
        sightings: by condition and method; the method "auto" with MAIN and ABSENT only.
        examples: best and worst grasps of MAIN by the method "auto", best first.
        seconds: for matching and grasp of one reference, in each picture of MAIN.
        timings: of frames with many references, see `summarize`.
    """

    scenes: int
    sightings: dict[tuple[Condition, str], list[Sighting]] = field(
        default_factory=lambda: defaultdict(list)
    )
    examples: list[Example] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)


def summarize(benchmark: GraspBenchmark) -> dict[str, Any]:
    """All figures, as `dense-desc benchmark grasp` prints them; None where nothing was measured.

    Returns:
        The `figures` of MAIN by the method "auto"; `methods`, rows of `objects`, `instances`,
        `method`, `scenes`, `expected` and published `grasps`, `figures`, and `refused` (kind of
        reason: how many);
        `absent`, of pictures without the object: `scenes`, `published_rate`, the share of
        references for which there is a grasp nevertheless, and `auroc` of the best score, against
        those pictures of MAIN in which the point can be seen;
        `ms_per_reference`, the median for matching and grasp; and `timings` with many references:
        `references`, `forward_ms`, `matching_ms`, `grasp_ms`, and `share_16`, what matching and
        grasps take, as a share of the forward pass.
    """
    auto, absent = benchmark.sightings[MAIN, "auto"], benchmark.sightings[ABSENT, "auto"]
    present = np.array([each.score for each in auto if each.truth.expected.any()])
    empty = np.array([each.score for each in absent])
    rows = [
        {
            **condition._asdict(),
            "method": method,
            "scenes": benchmark.scenes,
            "expected": sum(int(each.truth.expected.sum()) for each in sightings),
            "grasps": sum(len(each.grasps) for each in sightings),
            **figures(sightings),
            "refused": dict(Counter(each.refused for each in sightings if each.refused)),
        }
        for (condition, method), sightings in benchmark.sightings.items()
        if method != "auto"
    ]
    return {
        **figures(auto),
        "methods": rows,
        "absent": {
            "scenes": benchmark.scenes,
            "published_rate": float(np.mean([len(each.grasps) > 0 for each in absent])),
            "auroc": auroc(present, empty) if len(present) else None,
        },
        "ms_per_reference": 1e3 * statistics.median(benchmark.seconds),
        "timings": benchmark.timings,
    }


def figures(sightings: Sequence[Sighting]) -> dict[str, float | None]:
    """How far published grasps are from the nearest true one, and how many are there, or wrong.

    Returns:
        `position_mm_median` and `orientation_deg_median` of all published grasps, wrong ones
        included; the latter counts the turn about the approach, which the method "straight" leaves
        to chance. `found_rate`, the share of expected grasps that have a published one within
        30 mm; `wrong_rate`, the share of published ones farther than that from every true one.
        None where there is none.
    """
    errors: list[float] = []
    turns: list[float] = []
    found: list[bool] = []
    for sighting in sightings:
        distances = sighting.distances
        errors += distances.min(axis=0, initial=np.inf).tolist()
        found += (distances.min(axis=1, initial=np.inf) <= WRONG)[sighting.truth.expected].tolist()
        if distances.size:
            nearest = sighting.truth.poses[distances.argmin(axis=0), :3, :3]
            relative = np.swapaxes(nearest, 1, 2) @ sighting.grasps[:, :3, :3]
            turns += np.degrees(Rotation.from_matrix(relative).magnitude()).tolist()
    position = statistics.median(errors) if errors else np.inf
    return {
        "position_mm_median": 1e3 * position if np.isfinite(position) else None,
        "orientation_deg_median": statistics.median(turns) if turns else None,
        "found_rate": float(np.mean(found)) if found else None,
        "wrong_rate": float(np.mean(np.array(errors) > WRONG)) if errors else None,
    }
