"""Imports all that the package uses, so that Python keeps it compiled."""

import contextlib
import importlib
import pkgutil

import dense_desc_ros

# What is only imported when it is needed.
LATER = ("torch._dynamo", "torch.utils.tensorboard", "mujoco", "matplotlib.figure", "pytest")

modules = pkgutil.walk_packages(dense_desc_ros.__path__, "dense_desc_ros.")
for name in (*(module.name for module in modules), *LATER):
    with contextlib.suppress(Exception):  # what this machine lacks is said when it is needed
        importlib.import_module(name)
