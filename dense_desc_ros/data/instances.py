"""Where the objects of a generated data set come from: a procedural category, or mesh files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dense_desc_ros.data.mesh import SHAPENET_MODEL, Mesh, load_mesh
from dense_desc_ros.data.mesh_files import SUFFIXES
from dense_desc_ros.data.objects import CATEGORIES, make_object
from dense_desc_ros.errors import DataError, InvalidInputError


class Instances:
    """The numbered instances of an object.

    Args:
        objects: a category of CATEGORIES, or a folder with mesh files or ShapeNetCore models,
            numbered in order of name.
        size: longest side of the meshes of a folder, metres; None leaves them as they are.

    Raises:
        InvalidInputError: neither a category nor a folder.
        DataError: no mesh in the folder.
    """

    def __init__(self, objects: str, size: float | None = None) -> None:
        self.objects, self.size = objects, size
        self._files: list[Path] | None = None
        if objects in CATEGORIES:
            return
        folder = Path(objects)
        if not folder.is_dir():
            known = ", ".join(CATEGORIES)
            raise InvalidInputError(f"{objects!r} is neither one of {known} nor a folder of meshes")
        self._files = sorted(path for path in folder.iterdir() if _is_mesh(path))
        if not self._files:
            raise DataError(f"no mesh ({', '.join(SUFFIXES)} or ShapeNetCore models) in {folder}")

    def check(self, first: int, count: int) -> None:
        """Raise InvalidInputError unless instances first .. first + count - 1 exist."""
        if first < 0 or count < 1:
            raise InvalidInputError(f"there are no {count} instances from number {first} on")
        if self._files is not None and first + count > len(self._files):
            raise InvalidInputError(
                f"{self.objects} has meshes 0 to {len(self._files) - 1}, but instances {first} to "
                f"{first + count - 1} are asked for"
            )

    def make(self, number: int) -> Mesh:
        """The mesh of an instance; DataError if its file is broken."""
        if self._files is None:
            return make_object(self.objects, number)
        return load_mesh(self._files[number], self.size)

    def others(self) -> list[Callable[[np.random.Generator], Mesh]]:
        """Makers of the procedural categories that these are not of."""
        return [make for name, make in CATEGORIES.items() if name != self.objects]


def _is_mesh(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or (path / SHAPENET_MODEL).is_file()
