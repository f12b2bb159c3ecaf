"""Captures as nerfstudio keeps them: pictures with depth around one thing, as phones make them.

DIR/transforms.json has fl_x, fl_y, cx, cy, w, h (for all frames or in each), distortion k1, k2, k3,
p1, p2, and "frames" with file_path, depth_file_path, optional mask_path, and transform_matrix: the
pose of the camera in the world, camera axes as OpenGL has them (x right, y up, z backward).
https://docs.nerf.studio/quickstart/data_conventions.html
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.posed import PosedFrame, check_index, check_usable, is_rigid
from dense_desc_ros.data.reading import (
    number,
    numbers,
    path_inside,
    read_color,
    read_depth,
    read_json,
    read_mask,
)
from dense_desc_ros.errors import DataError, InvalidInputError

TRANSFORMS_FILE = "transforms.json"
INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")  # in OpenCV's order
FISHEYE = "OPENCV_FISHEYE"
OPTICAL_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
DEPTH_SCALE = 1e-3  # metres to a count, unless transforms.json says otherwise


class NerfstudioFrames:
    """The frames of a nerfstudio folder, lens distortion taken out; all show object 0, the world.

    Without a mask the whole picture counts. A mask is true where it is not black.

    Args:
        path: the folder, or its transforms.json.

    Attributes:
        path: of transforms.json.

    The other attributes are those of `PosedFrames`.

    Raises:
        DataError: transforms.json is missing or malformed (file and key are named), a fisheye
            lens, or no usable frame.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.name == TRANSFORMS_FILE else path / TRANSFORMS_FILE
        self._content = read_json(self.path)
        frames = self._content.get("frames")
        if not isinstance(frames, list) or not all(isinstance(each, dict) for each in frames):
            raise DataError(f"{self.path}: 'frames' must be a list of objects")
        if self._content.get("camera_model") == FISHEYE:
            raise DataError(
                f"{self.path}: 'camera_model' {FISHEYE} cannot be read; undistort first"
            )
        key = "depth_unit_scale_factor"
        self._depth_scale = number(self._content, key, self.path, DEPTH_SCALE)
        reasons = [self._unusable(frame) for frame in frames]
        self._frames = [f for f, reason in zip(frames, reasons, strict=True) if reason is None]
        self.skipped: Mapping[str, int] = dict(Counter(each for each in reasons if each))
        self.groups: Mapping[int, Sequence[int]] = {0: range(len(self))}
        self.without_object: Sequence[int] = ()
        self.visible_fraction: Sequence[float] = (1.0,) * len(self)
        self.T_object_camera: Sequence[FloatArray] = [self._pose(frame) for frame in self._frames]
        check_usable(self, self.path)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> PosedFrame:
        """Read a frame: IndexError or DataError as `PosedFrames` says."""
        check_index(self, index, self.path)
        frame = self._frames[index]
        camera, distortion = self._camera(frame)
        size = (camera.width, camera.height)
        image = read_color(self._file(frame, "file_path"))
        depth = _resized(read_depth(self._file(frame, "depth_file_path"), self._depth_scale), size)
        mask = np.ones((camera.height, camera.width), bool)
        if "mask_path" in frame:
            mask = _resized(read_mask(self._file(frame, "mask_path")).view(np.uint8), size) != 0
        if distortion.any():
            x, y = cv2.initUndistortRectifyMap(
                camera.matrix, distortion, None, camera.matrix, size, cv2.CV_32FC1
            )
            image = np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR), np.uint8)
            # Neither depths nor masks may be averaged across edges; beyond the picture is nothing.
            beyond = float("nan")
            depth = cv2.remap(depth, x, y, cv2.INTER_NEAREST, borderValue=beyond)
            mask = cv2.remap(mask.view(np.uint8), x, y, cv2.INTER_NEAREST) != 0
        try:
            name = str(frame["file_path"])
            pose = self.T_object_camera[index]
            return PosedFrame(image, depth, camera, pose, mask, None, 0, name)
        except InvalidInputError as error:
            raise DataError(f"{self.path}: {error}") from error

    def _unusable(self, frame: Mapping[str, Any]) -> str | None:
        """Why a frame is left out, or None."""
        self._camera(frame)
        if not is_rigid(self._pose(frame)):
            return "with unusable pose"
        if "depth_file_path" not in frame or not self._file(frame, "depth_file_path").is_file():
            return "without depth"
        if not self._file(frame, "file_path").is_file():
            return "without colour picture"
        if "mask_path" in frame and not self._file(frame, "mask_path").is_file():
            return "without its mask"
        return None

    def _file(self, frame: Mapping[str, Any], key: str) -> Path:
        name = frame.get(key)
        if not isinstance(name, str):
            raise DataError(f"{self.path}: {key!r} of a frame must be a path, got {name!r}")
        try:
            return path_inside(self.path.parent, name)
        except DataError as error:
            raise DataError(f"{self.path}: {key!r} of a frame: {error}") from error

    def _pose(self, frame: Mapping[str, Any]) -> FloatArray:
        matrix = numbers(frame, "transform_matrix", 16, self.path).reshape(4, 4)
        return np.asarray(matrix @ OPTICAL_TO_OPENGL)

    def _camera(self, frame: Mapping[str, Any]) -> tuple[PinholeCamera, npt.NDArray[np.float64]]:
        """Intrinsics, and the five coefficients of the lens distortion."""
        table = {**self._content, **frame}
        fx, fy, cx, cy, width, height = (number(table, key, self.path) for key in INTRINSICS)
        distortion = np.array([number(table, key, self.path, 0.0) for key in DISTORTION])
        try:
            # There the corner of the first pixel is the origin, here its centre.
            camera = PinholeCamera(fx, fy, cx - 0.5, cy - 0.5, int(width), int(height))
        except InvalidInputError as error:
            raise DataError(f"{self.path}: {error}") from error
        return camera, distortion


def _resized(pixels: npt.NDArray, size: tuple[int, int]) -> npt.NDArray:
    """A layer (h, w) at another size (width, height): phones measure depth more coarsely."""
    if pixels.shape == size[::-1]:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST_EXACT))
