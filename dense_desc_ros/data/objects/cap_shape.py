"""The shape of a cap as a function of anatomy: where on this cap a named place of all caps lies.

The crown is given by the azimuth (0 at the front, positive to the wearer's left) and the height
from 0 at the rim to 1 at the button; the brim by its way across from -1 to 1 and out from 0 at the
crown to 1 at the edge. A cap's canonical coordinates are what these functions give for the same
place of the `CapShape()` of default values.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray

BRIM_OVERLAP = 0.004  # metres that the brim reaches into the crown
BUTTON_SIZE = (0.0075, 0.0075, 0.004)  # half-axes, metres
STRAP_RISE = (0.03, 0.17)  # heights of the strap's edges on the crown


@dataclass(frozen=True)
class Dent:
    """A soft hollow (depth > 0) or ridge (< 0), metres, of a width in metres.

    It runs straight from one (azimuth, height) of the crown to another.
    """

    start: tuple[float, float]
    stop: tuple[float, float]
    width: float
    depth: float


@dataclass(frozen=True)
class CapShape:
    """Lengths in metres, angles in radians.

    Attributes:
        front, back, side: half-axes of the rim from above.
        height: of the crown.
        front_fullness, back_fullness: 2 is round like an ellipse, more is boxier.
        lean: how far the button is in front of the rim's middle.
        panels: 5 or 6; five have no seam in front.
        panel_bulge: how far the panels swell between their seams.
        brim_length: in front of the crown.
        brim_angle: azimuth of the brim's corners.
        brim_fullness: 2 is an elliptical edge, more is a squarer one.
        brim_camber: how much higher the brim is in its middle than at its corners.
        brim_slope: rise of the brim per metre forward.
        opening_angle, opening_height: half the width of the opening at the back and its height on
            the crown, which is 0 where there is none.
        cloth, brim_cloth: thickness.
        dents: on the crown.
    """

    front: float = 0.098
    back: float = 0.098
    side: float = 0.088
    height: float = 0.115
    front_fullness: float = 2.35
    back_fullness: float = 2.25
    lean: float = 0.0
    panels: int = 6
    panel_bulge: float = 0.0
    brim_length: float = 0.07
    brim_angle: float = 1.15
    brim_fullness: float = 2.3
    brim_camber: float = 0.012
    brim_slope: float = -0.1
    opening_angle: float = 0.42
    opening_height: float = 0.32
    cloth: float = 0.006
    brim_cloth: float = 0.006
    dents: tuple[Dent, ...] = ()

    def rim(self, azimuth: FloatArray) -> FloatArray:
        """The rim's outline from above, (..., 2)."""
        cosine = np.cos(azimuth)
        axis = np.where(cosine > 0, self.front, self.back)
        return np.stack([axis * cosine, self.side * np.sin(azimuth)], axis=-1)

    def opening(self, azimuth: FloatArray) -> FloatArray:
        """The height on the crown where the cloth begins: 0 except above the opening."""
        across = (np.pi - np.abs(azimuth)) / self.opening_angle
        return self.opening_height * np.sqrt(np.clip(1 - across**2, 0, 1))

    def crown(self, azimuth: FloatArray, height: FloatArray, inward: float = 0.0) -> FloatArray:
        """Points (..., 3) of the crown, `inward` metres behind its outside."""
        azimuth, height = np.broadcast_arrays(azimuth, height)
        angle = np.clip(height, 0, 1) * np.pi / 2
        forward = (1 + np.cos(azimuth)) / 2
        fullness = self.back_fullness + (self.front_fullness - self.back_fullness) * forward
        shrink = np.where(height >= 1, 0.0, np.cos(angle)) ** (2 / fullness)
        rise = np.sin(angle) ** (2 / fullness)
        plan = self.rim(azimuth)
        z = self.height * rise + self._camber(plan[..., 1], azimuth) * (1 - height) ** 2
        x = plan[..., 0] * shrink + self.lean * rise**2
        points = np.stack([x, plan[..., 1] * shrink, z], axis=-1)
        distance = np.linalg.norm(points, axis=-1, keepdims=True)
        depth = inward + self._hollows(azimuth, height, points) - self._bulges(azimuth, height)
        return points * (1 - depth[..., None] / distance)

    def brim(self, across: FloatArray, out: FloatArray, down: float = 0.0) -> FloatArray:
        """Points (..., 3) of the brim, `down` metres below its upper side."""
        across, out = np.broadcast_arrays(across, out)
        start = self.rim(across * self.brim_angle)
        taper = (1 - np.abs(across) ** self.brim_fullness) ** (1 / self.brim_fullness)
        reach = self.brim_length * taper
        inset = start / np.linalg.norm(start, axis=-1, keepdims=True) * BRIM_OVERLAP
        x = start[..., 0] - inset[..., 0] + reach * out
        y = start[..., 1] - inset[..., 1] + 0.12 * reach * across * out
        corner = self.side * np.sin(self.brim_angle)
        z = self.brim_camber * (1 - (y / corner) ** 2) + self.brim_slope * reach * out
        return np.stack([x, y, z - down], axis=-1)

    def strap(self, across: FloatArray, rise: FloatArray, inward: float = 0.0) -> FloatArray:
        """Points (..., 3) of the strap: `across` the opening from -1 to 1, its `rise` from 0 to 1.

        It goes along the inside of the crown and a little beyond the opening.
        """
        azimuth = np.pi + across * (self.opening_angle * 1.12)
        height = STRAP_RISE[0] + (STRAP_RISE[1] - STRAP_RISE[0]) * rise
        return self.crown(azimuth, height, inward + 0.6 * self.cloth)

    def button(self, azimuth: FloatArray, rise: FloatArray) -> FloatArray:
        """Points (..., 3) of the button from its bottom (`rise` 0) to its top (1)."""
        azimuth, angle = np.broadcast_arrays(azimuth, (rise - 0.5) * np.pi)
        ball = np.stack(
            [np.cos(angle) * np.cos(azimuth), np.cos(angle) * np.sin(azimuth), np.sin(angle)],
            axis=-1,
        )
        return ball * BUTTON_SIZE + self.crown(np.zeros(()), np.ones(()))

    def _camber(self, y: FloatArray, azimuth: FloatArray) -> FloatArray:
        corner = self.side * np.sin(self.brim_angle)
        inside = np.abs(azimuth) < self.brim_angle
        return np.where(inside, self.brim_camber * (1 - (y / corner) ** 2), 0.0)

    def _bulges(self, azimuth: FloatArray, height: FloatArray) -> FloatArray:
        across = panel_position(azimuth, self.panels)[1]
        return self.panel_bulge * (1 - (2 * across) ** 2) * np.sin(np.pi * height) ** 0.6

    def _hollows(self, azimuth: FloatArray, height: FloatArray, points: FloatArray) -> FloatArray:
        """Depth of the dents, which leave the rim and the button where they are."""
        depth = np.zeros(points.shape[:-1])
        still = replace(self, dents=())
        for dent in self.dents:
            ends = np.array([dent.start, dent.stop])
            start, stop = still.crown(ends[:, 0], ends[:, 1])
            along = stop - start
            share = np.clip((points - start) @ along / max(along @ along, 1e-12), 0, 1)
            nearest = start + share[..., None] * along
            distance = np.linalg.norm(points - nearest, axis=-1)
            depth += dent.depth * np.exp(-((distance / dent.width) ** 2))
        return depth * np.clip(height / 0.15, 0, 1) * np.clip((1 - height) / 0.3, 0, 1)


def panel_position(
    azimuth: FloatArray, panels: int
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    """The panel of an azimuth, the place across it from -0.5 to 0.5, and its angle, radians.

    The seams are 60 degrees apart, one of them in front, which a cap of five panels lacks.
    """
    sixth = np.pi / 3
    turn = np.mod(azimuth, 2 * np.pi) / sixth
    panel = np.minimum(np.floor(turn), 5).astype(np.int64)
    across, angle = turn - panel - 0.5, np.full(turn.shape, sixth)
    if panels == 5:
        ahead = (panel == 0) | (panel == 5)
        across = np.where(ahead, np.where(panel == 0, turn, turn - 6) / 2, across)
        panel, angle = np.where(panel == 5, 0, panel), np.where(ahead, 2 * sixth, angle)
    return panel, across, angle
