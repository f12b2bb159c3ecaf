"""Whether a two-finger gripper fits around a grasp, judged by the points that are seen.

Grasp frames: origin between the finger tips, z along the approach, y along the closing direction.
Only what is seen can be in the way: where nothing was measured, room is assumed.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError

MIN_POINTS = 30  # fewer say nothing about what is there
STRAY_POINTS = 5  # as many may be noise
TOLERANCE = 0.003  # m by which the gripper is taken to be smaller, since depth is noisy
TIP_MARGIN = 0.003  # m behind the tips: what does not reach as far in is not held
MAX_GAP = 0.006  # m along y within one object
EDGE = 0.005  # m at either end of it, of which the outer quarter of the points counts as noise
CLEARANCE = 0.010  # m that the fingers open wider than what they close on,
MIN_CLEARANCE = 0.004  # or at least this much, where the gripper opens no wider
MAX_SHIFT = 0.015  # m along y between the grasp and what it holds

STEP = math.radians(15)  # of turning about the approach, and of tilting about the closing direction
RETREAT = 0.005  # m, a step as well
MAX_TURNS = 6  # steps, to 90°, where all have been tried since half a turn changes nothing
MAX_TILTS = MAX_RETREATS = 2
MAX_STEPS = 3  # of all kinds together, but for turns alone


@dataclass(frozen=True)
class Gripper:
    """A hand with two parallel fingers, as boxes around the grasp frame; the default is Franka's.

    Attributes:
        max_width: between the open finger tips, metres, as all others.
        finger_length: along z, from the tips to the palm.
        finger_width: along x.
        finger_thickness: along y.
        palm_width: along y, of the box that the fingers stand on.
        palm_depth: along x.
        palm_height: along z.

    Raises:
        InvalidInputError: a size that is not positive and finite.
    """

    max_width: float = 0.08
    finger_length: float = 0.045
    finger_width: float = 0.02
    finger_thickness: float = 0.012
    palm_width: float = 0.2
    palm_depth: float = 0.06
    palm_height: float = 0.07

    def __post_init__(self) -> None:
        if not all(math.isfinite(size) and size > 0 for size in astuple(self)):
            raise InvalidInputError(f"sizes of a gripper must be positive and finite, got {self}")

    @property
    def reach(self) -> float:
        """Farthest from a grasp's origin that anything can be in `fit_gripper`'s way, metres."""
        x = max(self.palm_depth, self.finger_width) / 2
        y = max(self.palm_width / 2, self.max_width / 2 + self.finger_thickness) + MAX_SHIFT
        z = self.finger_length + self.palm_height + MAX_RETREATS * RETREAT
        return math.hypot(x, y, z)


@dataclass(frozen=True, eq=False)
class GripperFit:
    """A grasp that the gripper can reach.

    Attributes:
        T_camera_grasp: (4, 4) pose of the grasp in the camera frame.
        opening_width: of the gripper before closing, metres; NaN when unknown.
    """

    T_camera_grasp: FloatArray
    opening_width: float


@dataclass(frozen=True)
class Unfit:
    """No grasp fits; `reason` says what is wrong with the wanted one."""

    reason: str


def fit_gripper(
    points: FloatArray,
    T_camera_grasp: FloatArray,
    gripper: Gripper,
    opening_width: float = math.nan,
) -> GripperFit | Unfit:
    """Find room for the gripper at a grasp or near it, and how wide it must open.

    What is held is what lies between the fingers at y = 0, or within 15 mm of it, as far as it has
    no gaps of more than 6 mm. The opening width that was taught is kept if the fingers go around
    that; else it is what is held and 10 mm more. Fingers and palm must then be free of points.

    The wanted grasp is tried first, then others, fewest steps away first: a retreat of 5 mm, a turn
    of 15° about the approach, a tilt of 15° about the closing direction, in this order where the
    number is the same. There are 3 steps in all at most, but turns alone go on to 90°. Each grasp
    is tried as it is, open as wide as its object needs on the farther side, and then moved along y
    to the middle of its object, by 15 mm at most. One that has lost its object is left out.

    Args:
        points: (N, 3) seen around the grasp, in the camera frame, metres; NaN is left out. With
            fewer than 30 the wanted grasp is given back, as nothing is known to be in its way.
        T_camera_grasp: (4, 4) the wanted grasp in the camera frame.
        gripper: its sizes.
        opening_width: taught, metres; NaN if unknown, and then it may remain so.
    """
    taught = float(np.minimum(opening_width, gripper.max_width))
    # A micrometre is good enough, and much faster.
    pose = T_camera_grasp.astype(points.dtype)
    local = (pose[:3, :3].T @ (points.T - pose[:3, 3:])).astype(np.float32, copy=False)
    if np.isfinite(local[2]).sum() < MIN_POINTS:  # a point that is NaN here is so in all three
        return GripperFit(T_camera_grasp, taught)
    local = local.compress(_within_reach(local, gripper), axis=1)
    moved: FloatArray = local  # as seen from the first candidate, which is the wanted grasp
    held = _held(moved, gripper)
    nothing, reason = held is None, ""
    for number, (T_grasp_candidate, T_candidate_grasp) in enumerate(CANDIDATES):
        if number:
            moved = T_candidate_grasp[:3, :3] @ local + T_candidate_grasp[:3, 3:]
            held = _held(moved, gripper)
        if held is None and not (nothing and (T_grasp_candidate[:3, 3] == 0).all()):
            continue  # it has lost the object, or retreats from nothing
        fit = _fit(moved, held, gripper, taught)
        if not isinstance(fit, str):
            shift, width = fit
            T_camera_fit = T_camera_grasp @ T_grasp_candidate
            T_camera_fit[:3, 3] += shift * T_camera_fit[:3, 1]
            return GripperFit(T_camera_fit, width)
        reason = reason or fit
    return Unfit(reason)


def _within_reach(points: FloatArray, gripper: Gripper) -> npt.NDArray[np.bool_]:
    """Which points (3, N) in the frame of the wanted grasp any candidate could hold or run into.

    Most of what is seen is farther out than the fingers and deeper than the palm. NaN is nowhere.
    """
    x, y, z = points
    sine, cosine = math.sin(MAX_TILTS * STEP), math.cos(MAX_TILTS * STEP)
    length = gripper.finger_length + MAX_RETREATS * RETREAT
    fingers_x = gripper.finger_width / 2 + length * sine
    fingers_y = gripper.max_width / 2 + gripper.finger_thickness + MAX_SHIFT
    fingers_z = gripper.finger_width / 2 * sine
    palm_z = gripper.palm_depth / 2 * sine - gripper.finger_length * cosine
    near = (x * x + y * y <= fingers_x**2 + fingers_y**2) & (z <= fingers_z)
    return np.asarray(near | (z <= palm_z))


def _candidates() -> list[tuple[FloatArray, FloatArray]]:
    """T_grasp_candidate and T_candidate_grasp (4, 4) of each, in the order of `fit_gripper`.

    The wanted grasp is the first. What maps points, the latter, is float32 as they are.
    """
    turns, tilts = range(-MAX_TURNS + 1, MAX_TURNS + 1), range(-MAX_TILTS, MAX_TILTS + 1)
    steps = [
        (abs(turn) + abs(tilt) + retreat, abs(tilt), abs(turn), turn, tilt, retreat)
        for turn, tilt, retreat in itertools.product(turns, tilts, range(MAX_RETREATS + 1))
        if abs(turn) + abs(tilt) + retreat <= MAX_STEPS or tilt == retreat == 0
    ]
    poses = np.tile(np.eye(4), (len(steps), 1, 1))
    for pose, (*_, turn, tilt, retreat) in zip(poses, sorted(steps), strict=True):
        pose[:3, :3] = Rotation.from_euler("ZY", [turn * STEP, tilt * STEP]).as_matrix()
        pose[:3, 3] = -retreat * RETREAT * pose[:3, 2]
    return list(zip(poses, np.linalg.inv(poses).astype(np.float32), strict=True))


CANDIDATES = _candidates()


def _held(points: FloatArray, gripper: Gripper) -> tuple[float, float] | None:
    """From where to where along y there is something between the fingers; None if nothing is.

    Points here and below are (3, N), in the frame of the grasp in question.
    """
    x, y, z = points
    between = (abs(x) <= gripper.finger_width / 2) & (z <= -TIP_MARGIN)
    between &= z >= -gripper.finger_length
    along = np.sort(y[between])
    stretches = np.split(along, np.flatnonzero(np.diff(along) > MAX_GAP) + 1)
    solid = [s for s in stretches if len(s) > STRAY_POINTS and max(s[0], -s[-1]) <= MAX_SHIFT]
    if not solid:
        return None
    nearest = min(solid, key=lambda s: max(s[0], -s[-1]))
    first = nearest.searchsorted(nearest[0] + EDGE) // 4
    last = (len(nearest) - nearest.searchsorted(nearest[-1] - EDGE)) // 4
    return float(nearest[first]), float(nearest[-1 - last])


def _fit(
    points: FloatArray, held: tuple[float, float] | None, gripper: Gripper, taught: float
) -> tuple[float, float] | str:
    """Shift along y and opening width with which the gripper fits, or why none does."""
    if held is None:
        width = gripper.max_width if math.isnan(taught) else taught
        return _collision(points, gripper, width) or (0.0, taught)
    low, high = held
    widest = gripper.max_width - MIN_CLEARANCE
    if high - low > widest:
        return (
            f"too wide: the object is {1e3 * (high - low):.0f} mm wide between the fingers, "
            f"the gripper opens {1e3 * gripper.max_width:.0f} mm"
        )
    middle = (low + high) / 2
    x, y, z = points
    reasons = []
    for shift in (0.0, middle) if abs(middle) <= MAX_SHIFT else (0.0,):
        needed = 2 * max(high - shift, shift - low)
        if needed > widest:
            reasons.append(
                f"off centre: the object is {1e3 * middle:.0f} mm beside the middle of the fingers"
            )
            continue
        kept = taught >= needed + MIN_CLEARANCE
        width = taught if kept else min(needed + CLEARANCE, gripper.max_width)
        collision = _collision((x, y - shift, z), gripper, width)
        if not collision:
            return shift, width
        reasons.append(collision)
    return reasons[0]


def _collision(points: Iterable[FloatArray], gripper: Gripper, width: float) -> str:
    """What of the gripper the points are in, and how many, when opened to a width; "" if none."""
    x, y, z = points
    across, palm = abs(y), -gripper.finger_length
    fingers = (
        _within(x, -gripper.finger_width / 2, gripper.finger_width / 2)
        & _within(across, width / 2, width / 2 + gripper.finger_thickness)
        & _within(z, palm, 0)
    )
    hand = (
        _within(x, -gripper.palm_depth / 2, gripper.palm_depth / 2)
        & (across <= gripper.palm_width / 2 - TOLERANCE)
        & _within(z, palm - gripper.palm_height, palm)
    )
    for part, inside in ("finger", fingers), ("palm", hand):
        count = np.count_nonzero(inside)
        if count > STRAY_POINTS:
            return f"collision: {part}, {count} points"
    return ""


def _within(values: FloatArray, low: float, high: float) -> npt.NDArray[np.bool_]:
    """Which values are between two sides of a box, with tolerance, but half of it at least."""
    tolerance = min(TOLERANCE, (high - low) / 4)
    return (values >= low + tolerance) & (values <= high - tolerance)
