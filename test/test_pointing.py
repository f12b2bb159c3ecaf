"""Points that are pointed at in space, and the pixels that show them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_scene import CAMERA, look, pose

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.pointing import pixel_of_point

FRAME = look([pose(0.01, -0.01, 0.4)]).frame
ON_STONE = np.array([165, 108])


def seen_at(u: int, v: int) -> np.ndarray:
    return CAMERA.back_project((u, v), FRAME.depth[v, u])


@given(u=st.integers(0, 319), v=st.integers(0, 239), off=st.floats(-0.019, 0.019))
def test_a_point_of_the_surface_is_where_it_is_seen(u: int, v: int, off: float) -> None:
    point = CAMERA.back_project((u, v), FRAME.depth[v, u] + off)
    np.testing.assert_allclose(pixel_of_point(FRAME, point), (u, v), atol=1e-6)


def test_what_cannot_be_pointed_at_is_refused_for_its_reason() -> None:
    on_stone = seen_at(*ON_STONE)
    blind = replace(FRAME, depth=np.where(FRAME.depth < 0.7, np.float32(np.nan), FRAME.depth))
    further, nearer = (on_stone * (1 + off / on_stone[2]) for off in (0.022, -0.022))
    beside = CAMERA.back_project((325, 100), 0.75)
    for frame, point, reason in (
        (FRAME, on_stone * np.nan, "not finite"),
        (FRAME, -on_stone, "out of the picture"),
        (FRAME, beside, "out of the picture"),
        (blind, on_stone, r"no depth is measured at pixel \(165.0, 108.0\)"),
        (FRAME, further, "0.3.. m from the camera, but .* is 0.3.. m away"),
        (FRAME, nearer, "0.3.. m from the camera, but .* is 0.3.. m away"),
    ):
        with pytest.raises(InvalidInputError, match=reason):
            pixel_of_point(frame, point)


def test_at_an_edge_both_surfaces_can_be_pointed_at() -> None:
    """A point cloud shows every pixel, also those whose neighbours are of another surface."""
    v, u = np.argwhere(np.diff(FRAME.depth, axis=1) > 0.1)[0]
    stone, table = seen_at(u, v), seen_at(u + 1, v)
    assert table[2] - stone[2] > 0.1
    np.testing.assert_allclose(pixel_of_point(FRAME, stone), (u, v), atol=1e-6)
    np.testing.assert_allclose(pixel_of_point(FRAME, table), (u + 1, v), atol=1e-6)
