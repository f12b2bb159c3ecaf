"""Pictures: colours that stay, and drawings that fit whatever was found."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from local_scene import local_model, scene

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.grasping.grasp import Grasp, PointPose, Refusal
from dense_desc_ros.pictures import (
    Box,
    DescriptorColors,
    Mark,
    _draw_label,
    color_of,
    draw_image_matches,
    draw_matches,
)
from dense_desc_ros.pipeline import FrameResult, Timings
from dense_desc_ros.rgbd_frame import RgbdFrame

GREY = 90


def descriptors(
    dim: int = 16, height: int = 90, width: int = 120, metric: str = "cosine", seed: int = 0
) -> DescriptorMap:
    generator = torch.Generator().manual_seed(seed)
    shape = (math.ceil(height / 8), math.ceil(width / 8), dim)
    return DescriptorMap(torch.randn(shape, generator=generator), 8, height, width, metric)


def result(
    grasps: list[Grasp], refusals: list[Refusal], height: int = 480, width: int = 640
) -> FrameResult:
    camera = PinholeCamera(600.0, 600.0, width / 2, height / 2, width, height)
    image = np.full((height, width, 3), GREY, np.uint8)
    frame = RgbdFrame(image, np.ones((height, width), np.float32), camera)
    return FrameResult(frame, descriptors(), grasps, refusals, Timings())


def grasp(pixel: tuple[float, float], depth: float = 0.8, name: str = "mug") -> Grasp:
    camera = PinholeCamera(600.0, 600.0, 320.0, 240.0, 640, 480)
    pose = np.eye(4)
    pose[:3, 3] = camera.back_project(pixel, depth)
    found = PointPose(pose, np.array(pixel), "registered", 0.9, 40, 1.5, 0.002)
    return Grasp(name, found, pose, math.nan)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dim", [1, 2, 3, 64])
def test_colours_have_the_size_of_the_image(dim: int, metric: str) -> None:
    picture = DescriptorColors()(descriptors(dim, 91, 123, metric))
    assert picture.shape == (91, 123, 3)
    assert picture.dtype == np.uint8
    assert np.ptp(picture[..., 0]) > 200  # the range of brightness is used


def test_colour_of_a_descriptor_stays() -> None:
    colors = DescriptorColors()
    first = descriptors()
    before = colors(first)
    colors(descriptors(seed=1))
    np.testing.assert_array_equal(colors(first), before)
    moved = DescriptorMap(first.features.roll(2, dims=1), 8, 90, 120)
    np.testing.assert_array_equal(colors(moved)[:, 24:100], before[:, 8:84])


def test_colours_move_with_what_a_moving_camera_sees() -> None:
    model, colors = local_model(), DescriptorColors()
    still = colors(model.describe(scene().image))
    for dx, dy in ((8, 0), (-12, 4), (0, -16)):
        moved = colors(model.describe(scene(dx, dy).image))
        np.testing.assert_allclose(
            moved[64 + dy : 128 + dy, 64 + dx : 192 + dx].astype(int), still[64:128, 64:192], atol=1
        )


def test_colours_start_anew_after_a_picture_in_the_dark_and_then_stay() -> None:
    model, colors = local_model(), DescriptorColors()
    pictures = [np.zeros_like(scene().image), scene().image, scene(8).image, scene().image]
    dark, light, _, again = (colors(model.describe(picture)) for picture in pictures)
    expected = DescriptorColors()(model.describe(scene().image))
    np.testing.assert_array_equal(light, expected)
    np.testing.assert_array_equal(again, expected)
    assert np.ptp(dark) > 0


def test_colours_of_descriptors_that_are_all_the_same() -> None:
    flat = DescriptorMap(torch.ones(4, 5, 8), 8, 32, 40)
    assert len(np.unique(DescriptorColors()(flat).reshape(-1, 3), axis=0)) == 1


def test_drawing_marks_the_pixel_and_leaves_the_frame_alone() -> None:
    found = result([grasp((400.5, 200.0))], [])
    picture = draw_matches(found)
    changed = np.argwhere((picture != GREY).any(axis=2))
    assert np.all(found.frame.image == GREY)
    assert np.abs(changed - [200, 400]).max() < 160
    assert tuple(color_of("mug")) in {tuple(c) for c in picture[190:211, 390:411].reshape(-1, 3)}


def test_refusals_are_listed_at_the_bottom() -> None:
    refusals = [Refusal(f"part_{i}", 0.2, "best score 0.20 — too low") for i in range(30)]
    picture = draw_matches(result([], refusals))
    rows = np.flatnonzero((picture != GREY).any(axis=(1, 2)))
    assert rows.min() > 320  # a list of any length leaves most of the picture free
    assert rows.max() == 479


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    picture = np.full((480, 640, 3), GREY, np.uint8)
    taken: list[Box] = []
    for offset in range(4):
        mark = Mark(np.array([320.0, 240.0 + offset]), "spam_lid 0.91", (255, 0, 0))
        taken.append(_draw_label(picture, mark, taken))
    assert all(a is b or a.overlap(b) == 0 for a in taken for b in taken)


@given(
    pixel=st.tuples(st.floats(-0.5, 639.4), st.floats(-0.5, 479.4)),
    depth=st.floats(0.01, 20.0),
    angles=st.tuples(*[st.floats(-math.pi, math.pi)] * 2),
    width=st.one_of(st.just(math.nan), st.floats(0.0, 5.0)),
)
def test_any_grasp_can_be_drawn(
    pixel: tuple[float, float], depth: float, angles: tuple[float, float], width: float
) -> None:
    found = grasp(pixel, depth)
    (a, b), pose = angles, found.T_camera_grasp.copy()
    about_z = [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]
    about_y = [[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]]
    pose[:3, :3] = np.array(about_z) @ np.array(about_y)
    turned = replace(found, T_camera_grasp=pose, opening_width=width)
    assert draw_matches(result([turned], [])).shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(48, 64), (1080, 1920)])
def test_small_and_large_pictures(size: tuple[int, int]) -> None:
    found = result([grasp((20.0, 30.0))], [Refusal("cup", 0.1, "hidden")] * 9, *size)
    assert draw_matches(found).shape == (*size, 3)


def test_a_point_has_its_colour_in_all_pictures_side_by_side() -> None:
    reference, *targets = (
        np.full((h, w, 3), GREY, np.uint8) for h, w in ((90, 200), (110, 180), (80, 80))
    )
    points, found = np.array([(30, 30), (120, 60)]), np.array([(60, 20), (50, 80)])
    nowhere = (np.full((2, 2), 500.0), np.zeros(2))
    picture = draw_image_matches(reference, points, targets, [(found, np.ones(2)), nowhere])
    assert picture.shape == (2 * 110, 2 * 200, 3)
    assert (picture[110 + 80 :] == 0).all() and (picture[110:, 80:] == 0).all()
    there, here = (
        [picture[v, u - 7].tolist() for u, v in pixels] for pixels in (points, found + [200, 0])
    )
    assert there == here and there[0] != there[1] and [GREY] * 3 not in there
    alone = draw_image_matches(reference, points, [reference], [(points, np.ones(2))])
    assert alone.shape == (90, 400, 3)
