"""Messages for bags, made and described without ROS, those of dense_desc_interfaces included."""

from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

INTERFACES = "dense_desc_interfaces"
# Where a class is looked for by its name alone.
PACKAGES = (
    *(INTERFACES, "builtin_interfaces", "geometry_msgs", "sensor_msgs", "std_msgs"),
    "visualization_msgs",
)


@cache
def interfaces_store() -> Typestore:
    """The types of ROS 2 and those of dense_desc_interfaces."""
    store = get_typestore(Stores.ROS2_KILTED)
    types: dict[str, Any] = {}
    for file in resources.files("dense_desc_ros").joinpath("interfaces").iterdir():
        name, _, suffix = file.name.partition(".")
        if suffix == "msg":
            types |= get_types_from_msg(file.read_text(), f"{INTERFACES}/msg/{name}")
    store.register(types)
    return store


class BagMessages:
    """Classes of messages as attributes: `BagMessages().Marker(text="mug")`.

    As with rclpy's, fields that are not given are zero or empty. All messages share what is in
    these: set a field, never a part of it.
    """

    def __getattr__(self, name: str) -> type:
        store = interfaces_store()
        for package in PACKAGES:
            if (kind := f"{package}/msg/{name}") in store.types:
                setattr(self, name, _class(kind))
                return _class(kind)
        raise AttributeError(f"no message {name} in {', '.join(PACKAGES)}")


@cache
def _class(kind: str) -> type:
    store = interfaces_store()
    plain = store.types[kind]
    zeros = {name: _zero(*described) for name, described in store.fielddefs[kind][1]}

    def make(self: Any, **fields: Any) -> None:
        plain.__init__(self, **(zeros | fields))

    return type(plain.__name__, (plain,), {"__init__": make})


def _zero(node: Nodetype, described: Any) -> Any:
    """What a field holds when nothing is in it. Arrays of a fixed length are not needed yet."""
    if node is Nodetype.NAME:
        return _class(described)()
    if node is Nodetype.BASE:
        return "" if described[0] == "string" else np.dtype(described[0]).type().item()
    (element, kind), _ = described  # a sequence
    return np.zeros(0, kind[0]) if element is Nodetype.BASE and kind[0] != "string" else ()
