"""Spheres seen by cameras all around, exact by formula; and a network that reads their colours.

Each sphere is coloured by its canonical coordinates, so its colour is the perfect descriptor.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.posed import NO_OBJECT, PosedFrame
from dense_desc_ros.network import NetworkConfig

CAMERA = PinholeCamera(300.0, 300.0, 159.5, 119.5, 320, 240)
DISTANCE = 0.3  # m


class Spheres:
    """Frames of spheres of several sizes: `views` of each, of which the last half is occluded.

    With `absent`, as many frames without a sphere follow.
    """

    def __init__(self, radii=(0.08, 0.1), views=4, absent=0, camera=CAMERA, seed=0):
        rng = np.random.default_rng(seed)
        self.frames, self.groups, self.visible_fraction = [], {}, []
        self.skipped = {"without depth": 1}
        for number, radius in enumerate(radii):
            self.groups[number] = range(len(self.frames), len(self.frames) + views)
            for view in range(views):
                frame = sphere(radius, look_at(nearby(rng)), number, camera)
                occluded = 2 * view >= views
                self.frames.append(hide_top(frame) if occluded else frame)
                self.visible_fraction.append(0.7 if occluded else 1.0)
        self.without_object = range(len(self.frames), len(self.frames) + absent)
        for _ in self.without_object:
            self.frames.append(empty(camera))
            self.visible_fraction.append(1.0)
        self.T_object_camera = [frame.T_object_camera for frame in self.frames]

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        return self.frames[index]


def sphere(radius, T_object_camera, number=0, camera=CAMERA):
    """A sphere around the origin of its frame, by the quadratic formula for each pixel's ray."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([u, v], axis=-1)) @ T_object_camera[:3, :3].T
    origin = T_object_camera[:3, 3]
    a, b = (rays**2).sum(-1), rays @ origin
    with np.errstate(invalid="ignore"):
        depth = (-b - np.sqrt(b**2 - a * (origin @ origin - radius**2))) / a
    mask = np.isfinite(depth)
    canonical = ((origin + rays * depth[..., None]) / radius + 1) / 2
    image = np.where(mask[..., None], 255 * canonical, 0).round().astype(np.uint8)
    return PosedFrame(
        image,
        depth.astype(np.float32),
        camera,
        T_object_camera,
        mask,
        canonical.astype(np.float32),
        number,
        f"sphere {number}",
    )


def hide_top(frame):
    """Something grey in front of all that is above the middle."""
    image, depth, mask = frame.image.copy(), frame.depth.copy(), frame.mask.copy()
    middle = frame.camera.height * 2 // 5
    image[:middle], depth[:middle], mask[:middle] = 128, 0.1, False
    return replace(frame, image=image, depth=depth, mask=mask)


def empty(camera=CAMERA):
    """Grey noise: no colour that a sphere has."""
    size = camera.height, camera.width
    return PosedFrame(
        np.random.default_rng(0).integers(96, 160, (*size, 3), dtype=np.uint8),
        np.ones(size, np.float32),
        camera,
        np.full((4, 4), np.nan),
        np.zeros(size, bool),
        None,
        NO_OBJECT,
        "empty",
    )


def nearby(rng):
    """A camera position within some 40 degrees of (0, -1, 0)."""
    position = np.array([0.0, -1.0, 0.0]) + rng.uniform(-0.5, 0.5, 3)
    return DISTANCE * position / np.linalg.norm(position)


def look_at(position):
    """Pose of a camera that looks at the origin, with the image's up towards z."""
    z = -position / np.linalg.norm(position)
    x = np.cross(z, [0, 0, 1])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    pose[:3, 3] = position
    return pose


class ColourNetwork(nn.Module):
    """Descriptors are the mean colours of 4x4 pixels; keypoints those places of given colours."""

    def __init__(self, keypoint_colours=()):
        super().__init__()
        self.config = NetworkConfig("resnet18", 4, 3, keypoints=len(keypoint_colours))
        colours = np.array(keypoint_colours, np.float32).reshape(-1, 3)
        self.colours = torch.from_numpy(colours)

    def forward(self, images):
        return functional.avg_pool2d(images, 4)

    def keypoint_maps(self, features):
        difference = features[:, None] - self.colours[:, :, None, None]
        return -2e3 * difference.square().sum(dim=2), torch.ones_like(difference[:, :, 0])
