"""Smooth motions of joints: paths through joint angles, and how fast they are gone along."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.interpolate import make_interp_spline

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.sim.robot import MAX_ACCELERATION, MAX_SPEED

SHORTEST = 0.1  # s
SAMPLES = 64  # of a path, where its speed is judged
# Greatest first and second derivative of the course from 0 to 1 in a time of 1.
FASTEST, STRONGEST = 15 / 8, 10 / np.sqrt(3)


class Motion(Protocol):
    """Where joints shall be in the course of time.

    Attributes:
        duration: seconds, after which they stand still.
    """

    duration: float

    def at(self, time: float) -> tuple[FloatArray, FloatArray]:
        """Angles (6,) and speeds (6,) at a time in seconds; at rest from `duration` on."""


class Trajectory:
    """A path that is gone along from rest to rest, with the least jerk in its course.

    Args:
        waypoints: (6,) joint angles, radians, evenly along the path; two or more.
        speed: share of the greatest joint speed that no joint exceeds.
        shortest: it takes at least as long, seconds.
    """

    def __init__(
        self, waypoints: Sequence[FloatArray], speed: float, shortest: float = SHORTEST
    ) -> None:
        places = np.linspace(0, 1, len(waypoints))
        degree = min(3, len(waypoints) - 1)
        self._path = make_interp_spline(places, np.array(waypoints), k=degree)
        self._direction = self._path.derivative()
        steepest = np.abs(self._direction(np.linspace(0, 1, SAMPLES))).max()
        self.duration = float(
            max(
                FASTEST * steepest / (MAX_SPEED * speed),
                np.sqrt(STRONGEST * steepest / (MAX_ACCELERATION * speed)),
                shortest,
            )
        )
        self.end = np.array(waypoints[-1])

    def at(self, time: float) -> tuple[FloatArray, FloatArray]:
        """Angles (6,) and speeds (6,) at a time in seconds; at rest from `duration` on."""
        t = min(max(time / self.duration, 0.0), 1.0)
        course = t**3 * (10 - 15 * t + 6 * t**2)
        pace = 30 * t**2 * (1 - t) ** 2 / self.duration
        return self._path(course), self._direction(course) * pace


class Braking:
    """Coming to rest together, as fast as the joints can, from angles (6,) and speeds (6,)."""

    def __init__(self, position: FloatArray, velocity: FloatArray) -> None:
        self._position, self._velocity = position, velocity
        self.duration = max(float(np.abs(velocity).max()) / MAX_ACCELERATION, 1e-3)

    def at(self, time: float) -> tuple[FloatArray, FloatArray]:
        """Angles (6,) and speeds (6,) at a time in seconds; at rest from `duration` on."""
        t = min(max(time / self.duration, 0.0), 1.0)
        way = self.duration * t * (1 - t / 2)
        return self._position + self._velocity * way, self._velocity * (1 - t)
