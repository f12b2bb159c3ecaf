"""Correspondences between views of spheres, against the formula of the sphere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from posed_scene import CAMERA, hide_top, look_at, nearby, sphere

from dense_desc_ros.camera import FloatArray, PinholeCamera
from dense_desc_ros.data.correspondences import (
    by_canonical,
    by_geometry,
    sample_correspondences,
)
from dense_desc_ros.data.posed import PosedFrame
from dense_desc_ros.errors import InvalidInputError

RADIUS = 0.08


def pixels_of(frame: PosedFrame, count: int, rng: np.random.Generator) -> FloatArray:
    rows, columns = np.nonzero(frame.mask)
    chosen = rng.choice(len(rows), count, replace=False)
    return np.stack([columns[chosen], rows[chosen]], axis=1).astype(float)


def seen_from(points: FloatArray, frame: PosedFrame) -> tuple[FloatArray, FloatArray]:
    """Pixels of points of a sphere, and the cosine under which the camera sees their surface."""
    T_camera_object = np.linalg.inv(frame.T_object_camera)
    pixels = CAMERA.project(points @ T_camera_object[:3, :3].T + T_camera_object[:3, 3])
    to_camera = frame.T_object_camera[:3, 3] - points
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosine = (to_camera * normals).sum(1) / np.linalg.norm(to_camera, axis=1)
    return pixels, cosine


@given(st.integers(0, 10_000))
def test_geometry_agrees_with_the_sphere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (sphere(RADIUS, look_at(nearby(rng))) for _ in range(2))
    pixels = pixels_of(a, 40, rng)
    points = RADIUS * (2 * a.canonical[tuple(pixels.astype(int).T[::-1])] - 1)
    expected, cosine = seen_from(points, b)

    found, visible = by_geometry(a, b, pixels)

    np.testing.assert_allclose(found, expected, atol=0.01)
    # At the limb depth changes so fast that either answer is right.
    assert visible[cosine > 0.3].all()
    assert not visible[cosine < -0.3].any()


@given(st.integers(0, 10_000))
def test_canonical_coordinates_find_the_point_on_another_instance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (
        sphere(radius, look_at(nearby(rng)), i) for i, radius in enumerate((RADIUS, RADIUS / 1.3))
    )
    pixels = pixels_of(a, 40, rng)
    points = RADIUS / 1.3 * (2 * a.canonical[tuple(pixels.astype(int).T[::-1])] - 1)
    expected, cosine = seen_from(points, b)

    found, visible = by_canonical(a, b, pixels)

    frontal = cosine > 0.3
    assert np.linalg.norm(found - expected, axis=1)[frontal].max() < 1.5
    assert visible[frontal].all()
    assert not visible[cosine < -0.3].any()


def test_what_is_hidden_is_not_visible() -> None:
    pose = look_at(np.array([0.0, -0.3, 0.05]))
    a, b = sphere(RADIUS, pose), hide_top(sphere(RADIUS, pose))
    pixels = pixels_of(a, 300, np.random.default_rng(0))
    shown = pixels[:, 1] >= CAMERA.height * 2 // 5
    np.testing.assert_array_equal(by_geometry(a, b, pixels)[1], shown)
    # A point that is hidden at the edge of what is visible has a neighbour that is close enough.
    near = by_canonical(a, b, pixels)[1]
    assert near[shown].all()
    assert not near[pixels[:, 1] < CAMERA.height * 2 // 5 - 6].any()


def test_no_depth_and_beyond_the_image() -> None:
    a = sphere(RADIUS, look_at(np.array([0.0, -0.3, 0.0])))
    away = a.T_object_camera.copy()
    away[:3, 3] += [0.5, 0, 0]
    middle = [(160.0, 120.0)]
    assert not by_geometry(a, sphere(RADIUS, away), middle)[1].any()
    blind = replace(a, depth=np.full_like(a.depth, np.nan))
    found, visible = by_geometry(blind, a, middle)
    assert np.isnan(found).all()
    assert not visible.any()
    turned = a.T_object_camera @ np.diag([-1.0, 1, -1, 1])
    assert np.isnan(by_geometry(a, sphere(RADIUS, turned), middle)[0]).all()
    unknown = replace(a, canonical=np.full_like(a.canonical, np.nan))
    for pair in ((a, unknown), (unknown, a)):
        found, visible = by_canonical(*pair, middle)
        assert np.isnan(found).all()
        assert not visible.any()


@pytest.mark.parametrize("canonical", [False, True])
def test_samples(canonical: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = (sphere(RADIUS, look_at(nearby(rng))) for _ in range(2))
    draw = [
        sample_correspondences(a, b, 100, np.random.default_rng(seed), canonical)
        for seed in (1, 1, 2)
    ]
    assert draw[0][0].shape == draw[0][1].shape == (100, 2)
    assert len(np.unique(draw[0][0], axis=0)) == 100
    np.testing.assert_array_equal(draw[0], draw[1])
    assert not np.array_equal(draw[0], draw[2])
    find = by_canonical if canonical else by_geometry
    found, visible = find(a, b, draw[0][0])
    np.testing.assert_array_equal(found, draw[0][1])
    assert visible.all()


def test_nothing_in_common() -> None:
    front, back = (sphere(RADIUS, look_at(np.array([0.0, y, 0.0]))) for y in (-0.3, 0.3))
    for canonical in (False, True):
        pixels_a, pixels_b = sample_correspondences(
            front, back, 50, np.random.default_rng(0), canonical
        )
        assert pixels_a.shape == pixels_b.shape == (0, 2)


def test_frames_that_cannot_be_compared() -> None:
    a = sphere(RADIUS, look_at(np.array([0.0, -0.3, 0.0])))
    with pytest.raises(InvalidInputError, match="canonical coordinates give"):
        by_geometry(a, replace(a, object_id=5), [(160, 120)])
    with pytest.raises(InvalidInputError, match="no canonical coordinates"):
        by_canonical(a, replace(a, canonical=None), [(160, 120)])
    for pixel in ((-0.6, 0), (0, 239.5), (np.nan, 0)):
        with pytest.raises(InvalidInputError, match="on the image"):
            by_geometry(a, a, [pixel])


def test_a_sheet_is_not_seen_through():
    camera = PinholeCamera(100.0, 100.0, 31.5, 23.5, 64, 48)
    before, behind = np.eye(4), np.diag([1.0, -1.0, -1.0, 1.0])
    before[2, 3], behind[2, 3] = -0.5, 0.5
    image, depth = np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 0.5, np.float32)
    mask = np.ones((48, 64), bool)
    a, b = (
        PosedFrame(image, depth, camera, pose, mask, None, 1, "sheet") for pose in (before, behind)
    )
    pixels = np.array([[31.0, 23.0], [40.0, 10.0], [0.0, 0.0]])
    assert by_geometry(a, a, pixels)[1].all()
    assert not by_geometry(a, b, pixels)[1].any()
