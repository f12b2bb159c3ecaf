"""A scene and a model with random weights for it, whose right answers are known."""

from itertools import count
from typing import Any

import cv2
import numpy as np
import torch

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.rgbd_frame import RgbdFrame

WIDTH, HEIGHT, MARGIN = 256, 192, 64
CAMERA = PinholeCamera(240.0, 240.0, 127.5, 95.5, WIDTH, HEIGHT)
DEPTH = 0.8
CENTRE = (128, 96)  # px, about which the scene turns; whole features fall on others there
STAMPS = count(1_000_000_000, 50_000_000)


def local_model(seed: int = 0) -> DescriptorModel:
    """A model with random weights that sees only about 40 px around each feature.

    Far from the image's border its descriptors move exactly with a picture moved by whole features,
    4 px, so that there the best match is the right one. With a picture that is turned by 90° they
    move almost so: what a feature sees is centred 1.5 px beside the pixel that stands for it.
    """
    torch.manual_seed(seed)
    network = DescriptorNetwork(NetworkConfig("resnet18", 4, 16))
    assert network.pyramid is not None
    with torch.no_grad():
        for lateral in list(network.pyramid.laterals)[1:]:
            lateral.weight.zero_()
            lateral.bias.zero_()
        for kernel in network.parameters():
            if kernel.ndim == 4:
                turned = [torch.rot90(kernel, turns, (2, 3)) for turns in range(4)]
                kernel.copy_(torch.stack(turned).mean(dim=0))
    return DescriptorModel(network, device="cpu")


def scene(dx: int = 0, dy: int = 0, degrees: float = 0, **changes: Any) -> RgbdFrame:
    """A random texture on a wall at DEPTH, turned and then moved by (dx, dy) px, up to MARGIN.

    Newer each time. `moved` tells where its pixels are then.
    """
    blobs = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    wall = cv2.resize(blobs, (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN))
    turn = _turn(degrees)
    shift = np.add((dx, dy), moved((-MARGIN, -MARGIN), degrees=degrees))
    motion = np.column_stack([turn, shift])
    values: dict[str, Any] = {
        "image": cv2.warpAffine(wall, motion, (WIDTH, HEIGHT)),
        "depth": np.full((HEIGHT, WIDTH), DEPTH, np.float32),
        "camera": CAMERA,
        "stamp_ns": next(STAMPS),
        "frame_id": "camera_optical",
    }
    return RgbdFrame(**values | changes)


def moved(
    pixel: tuple[float, float], dx: float = 0, dy: float = 0, degrees: float = 0
) -> np.ndarray:
    """Where a pixel (u, v) of the scene is when that is turned and moved."""
    return _turn(degrees) @ np.subtract(pixel, CENTRE) + CENTRE + (dx, dy)


def _turn(degrees: float) -> np.ndarray:
    """The rotation (2, 2) in the image, which is one about the camera's axis."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
