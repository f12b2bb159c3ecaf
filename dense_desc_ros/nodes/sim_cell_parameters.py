"""The parameters of the simulated cell's node."""

from dataclasses import dataclass

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.picking.settings import check_limits, setting
from dense_desc_ros.sim.cell import CellSettings

CAMERAS = ("wrist", "fixed")


@dataclass(frozen=True)
class CellParameters:
    """What the cell is built of and what it starts with, SI units.

    Raises:
        InvalidInputError: a value out of its limits.
    """

    camera: str = setting("wrist", "Where the camera is: wrist (at the hand) or fixed (above).")
    depth_noise: bool = setting(True, "Depth as a depth camera measures it; else exact.")
    frame_rate: float = setting(6.0, "Frames in a simulated second.", (0.1, 60.0))
    real_time_factor: float = setting(
        1.0, "Simulated seconds in a second at most; 0: as many as can be.", (0.0, 100.0)
    )
    base_frame: str = setting("base_link", "Name of the frame at the robot's base, whose z is up.")
    category: str = setting("caps", "What lies on the table: caps or mugs.")
    instances: int = setting(1, "How many of them.", (1, 10))
    distractors: int = setting(0, "How many other things lie around them at the start.", (0, 20))
    first: int = setting(0, "Number of the first of them at the start.", (0, 1_000_000))
    seed: int = setting(0, "Of the scene at the start.", (0, 2**31 - 1))
    viewer: bool = setting(False, "Show the cell in a window; needs a display.")

    def __post_init__(self) -> None:
        check_limits(self)
        if self.camera not in CAMERAS:
            raise InvalidInputError(f"camera must be {' or '.join(CAMERAS)}, got {self.camera!r}")
        if not self.base_frame:
            raise InvalidInputError("base_frame must have a name")

    @property
    def cell(self) -> CellSettings:
        """What of it concerns the cell itself."""
        return CellSettings(camera=self.camera, depth_noise=self.depth_noise)
