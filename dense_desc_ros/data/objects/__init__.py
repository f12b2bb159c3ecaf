"""Procedural objects with canonical coordinates: categories, each with any number of instances."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from dense_desc_ros.data.mesh import Mesh
from dense_desc_ros.data.objects.caps import make_cap
from dense_desc_ros.data.objects.mugs import make_mug
from dense_desc_ros.errors import InvalidInputError

CATEGORIES: Mapping[str, Callable[[np.random.Generator], Mesh]] = MappingProxyType(
    {"caps": make_cap, "mugs": make_mug}
)


def make_object(category: str, instance: int) -> Mesh:
    """An instance of a category: the same mesh for the same number, everywhere.

    Raises:
        InvalidInputError: an unknown category or a negative number.
    """
    if category not in CATEGORIES:
        known = ", ".join(CATEGORIES)
        raise InvalidInputError(f"no category {category!r}; there are {known}")
    if instance < 0:
        raise InvalidInputError(f"the number of an instance must not be negative, got {instance}")
    return CATEGORIES[category](np.random.default_rng([instance, *category.encode()]))
