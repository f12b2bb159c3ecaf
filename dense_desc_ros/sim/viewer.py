"""A window into the simulated cell, for those who sit at a display."""

import warnings

from dense_desc_ros.errors import DataError
from dense_desc_ros.sim.cell import Cell

try:
    import glfw
    import mujoco.viewer
except ImportError as error:
    raise DataError(f"MuJoCo's viewer cannot be loaded: {error}") from error

# From where it looks at first: nearly as the films do.
LOOK_AT, DISTANCE, AZIMUTH, ELEVATION = (0.28, 0.0, 0.22), 1.9, 133.0, -23.0  # m and degrees


class CellViewer:
    """MuJoCo's viewer. Closed by the user, it comes back with the next scene.

    Raises:
        DataError: there is no display.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", glfw.GLFWError)  # says the same in more lines
            initialised = glfw.init()
        if not initialised:
            raise DataError("a viewer needs a display, and there is none here (DISPLAY is not set)")
        self._window: mujoco.viewer.Handle | None = None
        self._model: mujoco.MjModel | None = None

    def show(self, cell: Cell) -> None:
        """Show the cell as it is now."""
        if cell.model is not self._model:  # each scene has a model of its own
            self._open(cell)
        if self._window is not None:
            self._window.sync()

    def close(self) -> None:
        """Close the window."""
        if self._window is not None:
            self._window.close()

    def _open(self, cell: Cell) -> None:
        view = LOOK_AT, DISTANCE, AZIMUTH, ELEVATION
        if self._window is not None and self._window.is_running():
            camera = self._window.cam  # as the user has turned it
            view = tuple(camera.lookat), camera.distance, camera.azimuth, camera.elevation
        self.close()
        self._model = cell.model
        self._window = mujoco.viewer.launch_passive(
            cell.model, cell.data, show_left_ui=False, show_right_ui=False
        )
        with self._window.lock():
            camera = self._window.cam
            camera.lookat[:], camera.distance, camera.azimuth, camera.elevation = view
