"""MuJoCo without a display: loading it safely, textured meshes for its models, its renderer."""

import contextlib
import os

import numpy as np
import numpy.typing as npt

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import DataError

__all__ = ["OffscreenRenderer", "add_textured_mesh", "mujoco"]

NO_RENDERING = (
    "MuJoCo cannot render here ({}): it needs EGL, on Debian and Ubuntu the packages libegl1 and "
    "libgl1-mesa-dri"
)
# Mesa's software renderer makes the symbols of its LLVM global; triton, which torch imports sooner
# or later, carries an LLVM of its own and crashes if it is loaded after that. Loaded first, it is
# left in peace.
with contextlib.suppress(ImportError):
    import triton._C.libtriton  # noqa: F401
os.environ.setdefault("MUJOCO_GL", "egl")  # read when mujoco is imported; needs no display
try:
    import mujoco
except Exception as error:  # without the system's libraries PyOpenGL fails in several ways
    raise DataError(NO_RENDERING.format(error)) from error


class OffscreenRenderer(mujoco.Renderer):
    """MuJoCo's renderer, which can also change a texture between pictures.

    Raises:
        DataError: this machine cannot render.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        try:
            super().__init__(model, height, width)
        except Exception as error:  # PyOpenGL's, MuJoCo's, and AttributeErrors of what is missing
            raise DataError(NO_RENDERING.format(error)) from error

    def set_texture(self, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """Replace a texture of the model by a picture (H, W, 3) RGB of the same size."""
        texture = self.model.texture(name)
        start = int(texture.adr[0])
        self.model.tex_data[start : start + picture.size] = picture.reshape(-1)
        self._gl_context.make_current()
        mujoco.mjr_uploadTexture(self.model, self._mjr_context, texture.id)


def add_textured_mesh(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    vertices: FloatArray,
    normals: FloatArray,
    uv: FloatArray,
    faces: npt.NDArray[np.int32],
    picture: npt.NDArray[np.uint8],
    shine: float,
) -> None:
    """Add a mesh that is seen but not touched, with its texture and material, all called `name`.

    Args:
        spec: the model.
        body: carries the mesh; vertices are in its frame.
        name: of the geom, mesh, texture and material.
        vertices: (V, 3) metres.
        normals: (V, 3).
        uv: (V, 2) in [0, 1] of the picture, v down.
        faces: (F, 3).
        picture: (H, W, 3) RGB.
        shine: in [0, 1], how much it mirrors the lights.
    """
    height, width = picture.shape[:2]
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = picture.tobytes()
    material = spec.add_material(name=name, specular=shine, shininess=shine)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    spec.add_mesh(
        name=name,
        uservert=vertices.ravel(),
        usernormal=normals.ravel(),
        usertexcoord=uv.ravel(),
        userface=faces.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=name,
        contype=0,
        conaffinity=0,
    )
