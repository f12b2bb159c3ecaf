"""Camera intrinsics of recordings: CameraInfo of ROS 1 and 2, and files of camera_calibration."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

from dense_desc_ros.data.messages import distorted_camera_from_message
from dense_desc_ros.errors import DataError, InvalidInputError


def plain_info(info: Any, is_rectified: bool) -> Any:
    """A CameraInfo with the fields of ROS 2; ROS 1 writes K, D and P.

    Args:
        info: sensor_msgs/CameraInfo of ROS 1 or 2, or what `read_camera_file` returns.
        is_rectified: the images were rectified already: their intrinsics are those of P, and there
            is no distortion left.
    """
    k, d, p = (getattr(info, name, getattr(info, name.upper(), None)) for name in "kdp")
    if is_rectified:
        d = ()
        if p is not None and np.any(p):
            k = np.reshape(p, (3, 4))[:, :3].ravel()
    return SimpleNamespace(
        width=info.width, height=info.height, distortion_model=info.distortion_model, k=k, d=d
    )


def read_camera_file(path: Path) -> Any:
    """The intrinsics in a file as camera_calibration writes it (YAML), with CameraInfo's fields.

    Raises:
        DataError: it cannot be read, or lacks something.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
        info = SimpleNamespace(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            distortion_model=str(content["distortion_model"]),
            k=np.array(content["camera_matrix"]["data"], dtype=float),
            d=np.array(content["distortion_coefficients"]["data"], dtype=float),
            p=np.array(content["projection_matrix"]["data"], dtype=float),
        )
        distorted_camera_from_message(info)
    except KeyError as error:
        raise DataError(f"camera file {path} has no {error.args[0]}") from error
    except (OSError, yaml.YAMLError, TypeError, ValueError, InvalidInputError) as error:
        raise DataError(f"cannot read camera file {path}: {error}") from error
    return info
