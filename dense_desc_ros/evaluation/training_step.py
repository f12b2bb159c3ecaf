"""A training step outside of a trainer, on data like real ones, to be measured."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from torch.optim import Optimizer

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.bop_writer import Annotation, BopWriter
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives import Batch

VIEWS = 4
BOARD_HALF_SIDE, DISTANCE = 0.1, 0.5  # m


def run_step(module: DescriptorTraining, optimizer: Optimizer, batch: Batch) -> None:
    """Forward, backward, update, in the order in which Lightning's loop does it.

    So the last step's gradients are still there in the forward pass.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*trainer. reference is not registered.*")
        loss = module.training_step(batch, 0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def write_board(folder: Path, size: tuple[int, int]) -> None:
    """Write a BOP data set of a textured square board, seen from VIEWS places.

    Args:
        folder: of the data set.
        size: (height, width) of the pictures, pixels.
    """
    height, width = size
    camera = PinholeCamera(width, width, (width - 1) / 2, (height - 1) / 2, width, height)
    with BopWriter(folder, "train").scene(0) as scene:
        for number in range(VIEWS):
            T_board_camera = _look_down(tilt=0.15 * number)
            image, depth, mask = _see_board(camera, T_board_camera, number)
            T_camera_board = np.linalg.inv(T_board_camera)
            board = Annotation(1, T_camera_board, mask, mask, None)
            scene.add(number, image, depth, camera, T_camera_board, [board])


def _look_down(tilt: float) -> FloatArray:
    """Pose of a camera above the middle of the board, tilted about its x axis."""
    c, s = np.cos(tilt), np.sin(tilt)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, -c, -s], [0, s, -c]])
    pose[:3, 3] = -DISTANCE * pose[:3, 2]
    return pose


def _see_board(
    camera: PinholeCamera, T_board_camera: FloatArray, seed: int
) -> tuple[np.ndarray, FloatArray, np.ndarray]:
    """Image, depth and mask: the board is the square around the origin of the plane z = 0."""
    pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    rays = camera.rays(pixels) @ T_board_camera[:3, :3].T
    depth = -T_board_camera[2, 3] / rays[..., 2]
    points = T_board_camera[:3, 3] + rays * depth[..., None]
    mask = (np.abs(points[..., :2]) < BOARD_HALF_SIDE).all(axis=-1)
    texture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    place = ((points[..., :2] / BOARD_HALF_SIDE + 1) * 127.5).astype(np.float32)
    board = cv2.remap(texture, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
    ground = np.random.default_rng(seed).integers(0, 256, board.shape, dtype=np.uint8)
    return np.where(mask[..., None], board, ground), depth, mask
