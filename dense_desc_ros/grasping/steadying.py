"""Steadier grasp poses over frames: a still object's are averaged, a moved one's jump at once."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from dense_desc_ros.camera import FloatArray

MAX_DISTANCE = 0.015  # m between a pose and its track: farther away something has moved,
MAX_ANGLE = math.radians(10)  # as when it has turned more
LEAST_GAIN = 0.1  # of a new pose in the mean
MAX_AGE_NS = 1_000_000_000  # a track is forgotten when not seen for so long
MAX_TRACKS = 100  # of one name

# A track drifts when its poses keep lying on one side of it: their recent mean offset from it is
# then, for two frames, more than so many times what their own noise makes of such a mean.
DRIFT_RATIO = 3.0
OFFSET_GAIN = 0.25  # of a new offset in that mean
NOISE_GAIN = 0.05  # and of a new difference in the estimate of the noise,
MIN_POSES = 5  # which is known from more than so many


class PoseSteadier:
    """Averages the poses of still objects, frame by frame.

    Poses of one name are told apart by where they are: each continues the nearest track within
    15 mm and 10°, or else starts a new one. A track is the mean of its poses, from the tenth on a
    recursive one with gain 0.1: then white noise is √19 times smaller.

    What moves is not averaged. A pose outside that gate is passed on unchanged. So is one by which
    its track has drifted, that is when its poses keep lying on one side of it by more than their
    noise, which is told by how they differ from one to the next; the mean starts anew there.
    """

    def __init__(self) -> None:
        self._tracks: dict[str, list[_Track]] = {}
        self._stamp_ns = 0

    def steady(self, name: str, poses: Sequence[FloatArray], stamp_ns: int) -> list[FloatArray]:
        """Steadier poses (4, 4) of the instances of one name, in the order given.

        Args:
            name: of the reference.
            poses: (4, 4) each, all of this name in the frame. They must be given in a frame that
                does not move, such as the robot's base: to a moving camera nothing is still.
            stamp_ns: of the frame, the same for all its names. Tracks not seen for a second are
                forgotten, and those seen later than this: a recording has been started anew.
        """
        if stamp_ns != self._stamp_ns:
            self._forget(stamp_ns)
        tracks = self._tracks.setdefault(name, [])
        continued = _pair(poses, [track.mean for track in tracks])
        steadied = []
        for index, pose in enumerate(poses):
            if index in continued:
                track = tracks[continued[index]]
                track.add(pose)
            else:
                track = _Track(pose)
                tracks.append(track)
            track.seen_ns = stamp_ns
            steadied.append(track.mean.copy())
        tracks.sort(key=lambda track: track.seen_ns)
        del tracks[:-MAX_TRACKS]
        return steadied

    def _forget(self, stamp_ns: int) -> None:
        self._stamp_ns = stamp_ns
        for name, tracks in list(self._tracks.items()):
            tracks[:] = [t for t in tracks if 0 <= stamp_ns - t.seen_ns <= MAX_AGE_NS]
            if not tracks:
                del self._tracks[name]


class _Track:
    """The mean pose of one instance, and what it takes to see it drift.

    Attributes:
        mean: (4, 4) of its poses.
        seen_ns: stamp of the newest pose.
    """

    def __init__(self, pose: FloatArray) -> None:
        self.seen_ns = 0
        self._noise = np.zeros(2)  # variance of a pose, m² and rad², as told by successive ones
        self._start(pose)

    def _start(self, pose: FloatArray) -> None:
        self.mean = self._newest = pose
        self._count = 1
        self._beside = False  # whether poses lately lay on one side of the mean
        self._offset = np.zeros((2, 3))  # of recent poses from the mean, m and rad

    def add(self, pose: FloatArray) -> None:
        """Take a pose (4, 4) into the mean, or start anew with it if the track has drifted."""
        self._count += 1
        variance = np.square(_difference(self._newest, pose)).sum(axis=1) / 2
        self._noise += max(1 / (self._count - 1), NOISE_GAIN) * (variance - self._noise)
        self._newest = pose
        difference = _difference(self.mean, pose)
        self._offset += OFFSET_GAIN * (difference - self._offset)
        expected = self._noise * OFFSET_GAIN / (2 - OFFSET_GAIN)
        was_beside, square = self._beside, np.square(self._offset).sum(axis=1)
        self._beside = self._count > MIN_POSES and bool((square > DRIFT_RATIO**2 * expected).any())
        if self._beside and was_beside:  # once may have been a single wrong pose
            self._start(pose)
            return
        shift, turn = max(1 / self._count, LEAST_GAIN) * difference
        mean = np.eye(4)
        mean[:3, :3] = cv2.Rodrigues(turn)[0] @ self.mean[:3, :3]
        mean[:3, 3] = self.mean[:3, 3] + shift
        self.mean = mean


def _pair(poses: Sequence[FloatArray], tracks: Sequence[FloatArray]) -> dict[int, int]:
    """Which track each pose continues, by their indices: the nearest pairs first."""
    if not poses or not tracks:
        return {}
    a, b = np.stack(poses), np.stack(tracks)
    distances = np.linalg.norm(a[:, None, :3, 3] - b[:, :3, 3], axis=2)
    cosines = (np.einsum("aij,bij->ab", a[:, :3, :3], b[:, :3, :3]) - 1) / 2
    near = np.argwhere((distances <= MAX_DISTANCE) & (cosines >= math.cos(MAX_ANGLE)))
    pairs: dict[int, int] = {}
    for i, j in sorted(near.tolist(), key=lambda pair: distances[pair[0], pair[1]]):
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _difference(a: FloatArray, b: FloatArray) -> FloatArray:
    """(2, 3): the shift from a to b, metres, and the turn, a rotation vector in a's outer frame."""
    turn, _ = cv2.Rodrigues(b[:3, :3] @ a[:3, :3].T)
    return np.stack([b[:3, 3] - a[:3, 3], turn[:, 0]])
