"""Reading data sets in BOP format (see `bop_format`): the benchmark's, BlenderProc's and ours."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.bop_format import (
    CAMERA_FILE,
    GT_FILE,
    GT_INFO_FILE,
    MILLIMETRE,
    decode_canonical,
    find_color,
    find_scenes,
)
from dense_desc_ros.data.posed import (
    NO_OBJECT,
    PosedFrame,
    check_index,
    check_usable,
    is_rigid,
)
from dense_desc_ros.data.reading import (
    number,
    numbers,
    read_color,
    read_depth,
    read_json,
    read_mask,
    read_rgb16,
)
from dense_desc_ros.errors import DataError, InvalidInputError


@dataclass(frozen=True, eq=False)
class BopView:
    """One annotated object in one image, or an image without one, before its pictures are read.

    Attributes:
        scene: folder of the scene.
        image: number of the image.
        annotation: which of the image's objects.
        object_id: number of the object's model, or NO_OBJECT.
        T_camera_object: (4, 4) pose of the object, metres.
        matrix: (3, 3) intrinsics K.
        depth_scale: metres to a count of the depth image.
    """

    scene: Path
    image: int
    annotation: int
    object_id: int
    T_camera_object: FloatArray
    matrix: FloatArray
    depth_scale: float

    @property
    def name(self) -> str:
        return f"{self.scene.name}/{self.image:06d}"

    @property
    def color(self) -> Path | None:
        """The colour picture, if there is one."""
        return find_color(self.scene, self.image)

    @property
    def depth(self) -> Path:
        return self.scene / "depth" / f"{self.image:06d}.png"

    @property
    def mask(self) -> Path | None:
        """The mask of what is visible, of the whole object where there is only that, or None."""
        for folder in ("mask_visib", "mask"):
            if (path := self._of_object(folder)).is_file():
                return path
        return None

    @property
    def canonical(self) -> Path | None:
        """The picture of canonical coordinates, if there is one."""
        path = self._of_object("canonical")
        return path if path.is_file() else None

    def _of_object(self, folder: str) -> Path:
        return self.scene / folder / f"{self.image:06d}_{self.annotation:06d}.png"


class BopFrames:
    """The annotated objects of a BOP data set, each in each image as one `PosedFrame`.

    Half-written scenes, images without depth, objects that cannot be seen or have no usable pose
    are left out and counted. Attributes are those of `PosedFrames`.

    Args:
        path: a data set, one split of it, or one scene.
        canonical: read canonical coordinates, if there are any.

    Raises:
        DataError: no scene in the folder, several splits to choose from, no usable frame, or a
            JSON file that is malformed; the message names file and key.
    """

    def __init__(self, path: str | Path, canonical: bool = True) -> None:
        self.path, self._with_canonical = Path(path), canonical
        self._views: list[BopView] = []
        self._fractions: list[float] = []
        self._skipped: Counter[str] = Counter()
        for scene in find_scenes(self.path):
            self._add_scene(scene)
        groups = defaultdict(list)
        for index, view in enumerate(self._views):
            groups[view.object_id].append(index)
        self.without_object: Sequence[int] = groups.pop(NO_OBJECT, [])
        self.groups: Mapping[int, Sequence[int]] = dict(groups)
        self.visible_fraction: Sequence[float] = self._fractions
        self.T_object_camera: Sequence[FloatArray] = [
            np.linalg.inv(view.T_camera_object) for view in self._views
        ]
        self.skipped: Mapping[str, int] = dict(self._skipped)
        check_usable(self, self.path)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> PosedFrame:
        """Read a frame: IndexError or DataError as `PosedFrames` says."""
        check_index(self, index, self.path)
        view = self._views[index]
        color, mask = view.color, view.mask
        canonical = view.canonical if self._with_canonical else None
        if color is None or (mask is None and view.object_id != NO_OBJECT):
            raise DataError(f"{view.name} of {self.path} lost its colour picture or mask")
        image = read_color(color)
        try:
            return PosedFrame(
                image,
                read_depth(view.depth, view.depth_scale),
                PinholeCamera.from_matrix(view.matrix, image.shape[1], image.shape[0]),
                self.T_object_camera[index],
                np.zeros(image.shape[:2], bool) if mask is None else read_mask(mask),
                None if canonical is None else decode_canonical(read_rgb16(canonical)),
                view.object_id,
                view.name,
            )
        except InvalidInputError as error:
            raise DataError(f"{view.scene}: {error}") from error

    def _add_scene(self, scene: Path) -> None:
        missing = [name for name in (GT_FILE, CAMERA_FILE) if not (scene / name).is_file()]
        if missing:
            self._skipped[f"scenes without {missing[0]}"] += 1
            return
        cameras, truth = read_json(scene / CAMERA_FILE), read_json(scene / GT_FILE)
        info_file = scene / GT_INFO_FILE
        info = read_json(info_file) if info_file.is_file() else {}
        for key in sorted(truth, key=lambda key: _image_number(key, scene / GT_FILE)):
            views = _views_of_image(scene, key, truth[key], cameras)
            if views is None:
                self._skipped[f"not in {CAMERA_FILE}"] += 1
                continue
            infos = info.get(key, [])
            if not isinstance(infos, list):
                raise DataError(f"{info_file}: {key!r} must hold a list")
            for view, facts in zip(views, [*infos, *([{}] * len(views))], strict=False):
                self._add_view(view, facts, info_file)

    def _add_view(self, view: BopView, facts: Any, info_file: Path) -> None:
        if not isinstance(facts, dict):
            raise DataError(f"{info_file}: {str(view.image)!r} must hold a list of objects")
        if reason := _unusable(view, facts, info_file):
            self._skipped[reason] += 1
        else:
            self._views.append(view)
            self._fractions.append(number(facts, "visib_fract", info_file, 1.0))


def _views_of_image(
    scene: Path, key: str, annotations: Any, cameras: Mapping[str, Any]
) -> list[BopView] | None:
    """The objects of an image, or the one view that stands for none; None without a camera."""
    path = scene / GT_FILE
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise DataError(f"{path}: {key!r} must hold a list of objects")
    if key not in cameras:
        return None
    camera = cameras[key]
    if not isinstance(camera, dict):
        raise DataError(f"{scene / CAMERA_FILE}: {key!r} must hold an object")
    matrix = numbers(camera, "cam_K", 9, scene / CAMERA_FILE).reshape(3, 3)
    scale = number(camera, "depth_scale", scene / CAMERA_FILE, 1.0) * MILLIMETRE
    if not annotations:
        nowhere = np.full((4, 4), np.nan)
        return [BopView(scene, int(key), 0, NO_OBJECT, nowhere, matrix, scale)]
    return [
        BopView(
            scene,
            int(key),
            index,
            int(number(annotation, "obj_id", path)),
            _pose(annotation, path),
            matrix,
            scale,
        )
        for index, annotation in enumerate(annotations)
    ]


def _image_number(key: str, path: Path) -> int:
    if not key.isdecimal():
        raise DataError(f"{path}: {key!r} must be the number of an image")
    return int(key)


def _pose(annotation: Mapping[str, Any], path: Path) -> FloatArray:
    pose = np.eye(4)
    pose[:3, :3] = numbers(annotation, "cam_R_m2c", 9, path).reshape(3, 3)
    pose[:3, 3] = numbers(annotation, "cam_t_m2c", 3, path) * MILLIMETRE
    return pose


def _unusable(view: BopView, facts: Mapping[str, Any], info_file: Path) -> str | None:
    """Why a view is left out, or None."""
    if not np.isfinite(view.matrix).all() or view.matrix[0, 0] <= 0 or view.matrix[1, 1] <= 0:
        return "with unusable intrinsics"
    if view.depth_scale <= 0:
        return "with unusable depth_scale"
    if view.color is None:
        return "without colour picture"
    if not view.depth.is_file():
        return "without depth"
    if view.object_id == NO_OBJECT:
        return None
    if not is_rigid(view.T_camera_object):
        return "with unusable pose"
    if view.T_camera_object[2, 3] <= 0:
        return "behind the camera"
    if view.mask is None:
        return "without mask"
    if "px_count_visib" in facts:
        visible = number(facts, "px_count_visib", info_file) > 0
    else:
        visible = bool(read_mask(view.mask).any())
    return None if visible else "not visible"
