"""Dense visual descriptors for robot grasping: "grasp it here" once, on every later object.

The names below are imported on first use, so that `import dense_desc_ros` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dense_desc_ros.camera import PinholeCamera
    from dense_desc_ros.descriptors import DescriptorMap, DescriptorModel
    from dense_desc_ros.pipeline import GraspPipeline
    from dense_desc_ros.reference_store import ReferenceStore
    from dense_desc_ros.references import Reference
    from dense_desc_ros.rgbd_frame import RgbdFrame

__version__ = "0.1.0"
__all__ = [
    "DescriptorMap",
    "DescriptorModel",
    "GraspPipeline",
    "PinholeCamera",
    "Reference",
    "ReferenceStore",
    "RgbdFrame",
]

_MODULES = {
    "DescriptorMap": "descriptors",
    "DescriptorModel": "descriptors",
    "GraspPipeline": "pipeline",
    "PinholeCamera": "camera",
    "Reference": "references",
    "ReferenceStore": "reference_store",
    "RgbdFrame": "rgbd_frame",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
