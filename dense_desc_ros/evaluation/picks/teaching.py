"""A grasp taught on one object: how it is registered, and where it is on others."""

from dataclasses import dataclass

import numpy as np

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.evaluation.grasp_truth import transfer_pose
from dense_desc_ros.grasping.straight import point_frame
from dense_desc_ros.grasping.surface import fit_surface
from dense_desc_ros.rgbd_frame import RgbdFrame


@dataclass(frozen=True, eq=False)
class Click:
    """What a person does to register a grasp.

    Attributes:
        pixel: (2,) as (u, v), of the point.
        T_point_grasp: (4, 4) the grasp in the frame of the point.
    """

    pixel: FloatArray
    T_point_grasp: FloatArray


def click(
    frame: RgbdFrame, T_base_camera: FloatArray, point: FloatArray, T_base_grasp: FloatArray
) -> Click:
    """The click on a point (3,) that teaches a grasp (4, 4), both in the base frame.

    Raises:
        InvalidInputError: the point is out of the picture.
        MissingDepthError: no depth is measured around it.
    """
    T_camera_base = np.linalg.inv(T_base_camera)
    pixel = frame.camera.project((T_camera_base @ np.append(point, 1))[:3])
    patch = fit_surface(frame, pixel)
    T_camera_point = point_frame(patch.point, -patch.normal)
    return Click(pixel, np.linalg.inv(T_camera_point) @ T_camera_base @ T_base_grasp)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What was taught on an object: where a point is, and how to grasp there.

    Attributes:
        mesh: the object.
        T_object_point: (4, 4) a frame at the point, on the surface, z into it.
        T_point_grasp: (4, 4) the grasp in that frame.
    """

    mesh: Mesh
    T_object_point: FloatArray
    T_point_grasp: FloatArray

    @classmethod
    def of(cls, mesh: Mesh, point: FloatArray, T_object_grasp: FloatArray) -> "Lesson":
        """The lesson of a grasp (4, 4) at a point (3,), both in the object's frame."""
        T_object_point = T_object_grasp.copy()
        T_object_point[:3, 3] = point
        return cls(mesh, T_object_point, np.linalg.inv(T_object_point) @ T_object_grasp)

    def expected(self, mesh: Mesh, T_base_object: FloatArray) -> FloatArray | None:
        """The same grasp (4, 4), base frame, on another object or on this one elsewhere.

        None if that object lacks the place.
        """
        there: FloatArray | None = self.T_object_point
        if mesh is not self.mesh:
            there = transfer_pose(self.mesh, mesh, self.T_object_point)
        return None if there is None else T_base_object @ there @ self.T_point_grasp
