"""Motions fitted to points against SciPy and PyTorch, and found among wrong correspondences."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_scene import CAMERA, difference, is_rigid, pose
from scipy.spatial.transform import Rotation

from dense_desc_ros import se3
from dense_desc_ros.grasping.alignment import align, fit_motion
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.poses import FEWEST_INLIERS, Correspondences, find_poses

TOLERANCE = 0.012
SCALES = (0.6, 1.6)
motions = st.builds(
    lambda shift, rotvec: pose(*shift, rotvec),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
)


def moved(T, points, scale=1.0):
    return scale * points @ T[:3, :3].T + T[:3, 3]


def scene(T, seed, wrong=0.65, places=1, count=48, noise=0.0017, scale=1.0):
    """Points a (1, S, 3), where each may be (1, S, P, 3), and which places are right (1, S, P).

    Noise is 3 mm in all; the share `wrong` of the points have no right place.
    """
    rng = np.random.default_rng(seed)
    a = rng.uniform(-0.06, 0.06, (count, 3))
    b = T[:3, 3] + rng.uniform(-0.25, 0.25, (count, places, 3))
    right = np.zeros((count, places), bool)
    seen = rng.permutation(count) >= round(wrong * count)
    right[seen, rng.integers(0, places, count)[seen]] = True
    b[right] = (moved(T, a, scale) + rng.normal(0, noise, a.shape))[right.any(axis=1)]
    return a[None], b[None], right[None]


def aligned(a, b, weights=None, scales=SCALES):
    weights = np.ones(b.shape[:3]) if weights is None else weights
    return align(a, b, weights, np.ones(b.shape[:2]), np.full(b.shape[:3], TOLERANCE), scales)


def matrix(fits, i=0):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = fits.rotation[i], fits.translation[i]
    return T


@given(seed=st.integers(0, 10_000), zeros=st.integers(0, 4))
def test_fits_agree_with_scipy_and_with_pytorch(seed, zeros):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, 5, 7, 3))
    weights = rng.uniform(0.1, 1, (3, 5, 7))
    weights[..., :zeros] = 0
    linear, shift = fit_motion(a, b, weights, scaled=False)
    tensors = [torch.from_numpy(x) for x in (a, b, weights)]
    expected = se3.kabsch(*tensors).numpy()
    np.testing.assert_allclose(linear, expected[..., :3, :3], atol=1e-9)
    np.testing.assert_allclose(shift, expected[..., :3, 3], atol=1e-9)
    used = slice(zeros, None)
    x, y, w = a[1, 2, used], b[1, 2, used], weights[1, 2, used]
    x, y = (p - np.average(p, axis=0, weights=w) for p in (x, y))
    by_scipy = Rotation.align_vectors(y, x, weights=w)[0].as_matrix()
    np.testing.assert_allclose(linear[1, 2], by_scipy, atol=1e-8)
    linear, shift = fit_motion(a, b, weights, scaled=True)
    expected = se3.umeyama(*tensors).numpy()
    np.testing.assert_allclose(linear, expected[..., :3, :3], atol=1e-9)
    np.testing.assert_allclose(shift, expected[..., :3, 3], atol=1e-9)


@given(
    T=motions,
    seed=st.integers(0, 10_000),
    wrong=st.floats(0.6, 0.7),
    places=st.integers(1, 3),
)
def test_the_motion_is_found_among_mostly_wrong_places(T, seed, wrong, places):
    a, b, right = scene(T, seed, wrong, places, count=80)
    fits = aligned(a, b)
    assert fits.found[0]
    millimetres, degrees = difference(matrix(fits), T)
    assert millimetres < 3 and degrees < 3  # of some 25 points with 3 mm of noise
    assert is_rigid(matrix(fits))
    assert fits.scale[0] == 1
    assert (fits.inliers & right).sum() >= 0.9 * right.sum()
    assert (fits.inliers & ~right).sum() <= 3
    assert fits.inliers.sum(axis=2).max() == 1
    apart = np.linalg.norm(fits.apply(a)[0, :, None] - b[0], axis=2)
    assert apart[fits.inliers[0]].max() < TOLERANCE + 0.001


@pytest.mark.parametrize("seed", range(10))
def test_where_any_size_is_possible_the_same_size_is_found_among_many_places(seed):
    """A quarter of the points are seen, each at one of five places."""
    T = pose(0.1, 0.2, 0.6, (0.5, 0.3, 1.0))
    a, b, _ = scene(T, seed, wrong=0.75, places=5)
    millimetres, degrees = difference(matrix(aligned(a, b)), T)
    assert millimetres < 8 and degrees < 8


def test_of_very_many_places_the_likeliest_propose():
    """5000: their pairs would take 100 MB, a map of floats, and several of these."""
    T = pose(0.1, 0.2, 0.6, (0.5, 0.3, 1.0))
    a, b, right = scene(T, 0, wrong=0.5, places=5, count=1000)
    likely = np.random.default_rng(0).uniform(0.5, 0.8, right.shape) + 0.15 * right
    tracemalloc.start()
    fits = aligned(a, b, likely)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    millimetres, degrees = difference(matrix(fits), T)
    assert millimetres < 3 and degrees < 3


@given(T=motions, seed=st.integers(0, 10_000), scale=st.sampled_from([0.75, 0.8, 1.2, 1.3]))
def test_another_size_is_found_where_it_explains_more(T, seed, scale):
    a, b, right = scene(T, seed, wrong=0.4, scale=scale)
    fits = aligned(a, b)
    assert fits.found[0]
    assert fits.scale[0] == pytest.approx(scale, abs=0.04)
    assert difference(matrix(fits), T)[1] < 5
    assert (fits.inliers & right).sum() >= 0.9 * right.sum()
    np.testing.assert_allclose(
        fits.apply(a)[0][right[0, :, 0]], b[0, right[0, :, 0], 0], atol=TOLERANCE
    )


@given(T=motions, there=motions, seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_alignments_move_with_their_points(T, there, seed):
    """To rounding; and the order of points and places tells nothing."""
    a, b, _ = scene(T, seed, places=2)
    fits = aligned(a, b)
    np.testing.assert_allclose(matrix(aligned(a, moved(there, b))), there @ matrix(fits), atol=1e-9)
    np.testing.assert_allclose(matrix(aligned(moved(there, a), b)) @ there, matrix(fits), atol=1e-9)
    order = np.random.default_rng(seed).permutation(a.shape[1])
    mixed = aligned(a[:, order], b[:, order, ::-1])
    np.testing.assert_allclose(matrix(mixed), matrix(fits), atol=1e-9)
    np.testing.assert_array_equal(mixed.inliers, fits.inliers[:, order, ::-1])


def test_sets_know_nothing_of_each_other_nor_of_padding():
    """Three scenes at once, of unlike sizes: each as it is alone, twice the same."""
    scenes = [scene(pose(0.1, 0, 0.6), s, count=n) for s, n in enumerate((48, 30, 20))]
    a, b, weights = np.full((3, 50, 3), 0.3), np.zeros((3, 50, 2, 3)), np.zeros((3, 50, 2))
    for i, (points, places, _) in enumerate(scenes):
        a[i, : points.shape[1]], b[i, : points.shape[1], :1] = points[0], places[0]
        weights[i, : points.shape[1], 0] = 1
    together, again = aligned(a, b, weights), aligned(a, b, weights)
    for i, (points, places, _) in enumerate(scenes):
        alone = aligned(points, places)
        assert alone.found[0] and together.found[i]
        np.testing.assert_allclose(matrix(together, i), matrix(alone), atol=1e-9)
        np.testing.assert_array_equal(together.inliers[i, : points.shape[1], :1], alone.inliers[0])
        assert not together.inliers[i, points.shape[1] :].any()
        np.testing.assert_array_equal(matrix(again, i), matrix(together, i))


def test_a_start_is_enough_where_too_few_propose_the_motion():
    """Eight of 200 are right, and as near to the start as to a first pose."""
    T = pose(0.1, -0.2, 0.6, (0.5, 2.0, -1.0))
    a, b, right = scene(T, 0, wrong=0.96, count=200)
    near = (T @ pose(0.002, -0.003, 0.002, (0.04, -0.03, 0.05)))[None]
    weights, tolerance = np.ones(b.shape[:3]), np.full(b.shape[:3], TOLERANCE)
    fits = align(a, b, weights, weights[..., 0], tolerance, SCALES, near)
    assert fits.found[0]
    millimetres, degrees = difference(matrix(fits), T)
    assert millimetres < 4 and degrees < 5
    assert (fits.inliers & right).sum() == 8
    resized = near.copy()
    resized[:, :3, :3] *= 1.3
    resized[:, :3, 3] *= 1.3
    fits = align(a, 1.3 * b, weights, weights[..., 0], 1.3 * tolerance, SCALES, resized)
    assert fits.found[0] and fits.scale[0] == pytest.approx(1.3, abs=0.06)


line = np.linspace(-0.06, 0.06, 20)[:, None] * [0.6, 0.0, 0.8]
flat = np.random.default_rng(0).uniform(-0.06, 0.06, (20, 3)) * [1, 1, 0]


@pytest.mark.parametrize(
    ("points", "weight", "found"),
    [
        (line, 1.0, False),
        (line + flat * 0.02, 1.0, False),  # a millimetre off
        (flat[:1].repeat(20, axis=0), 1.0, False),
        (flat[:2], 1.0, False),
        (flat[:1], 1.0, False),
        (flat, 0.0, False),
        (np.zeros((20, 3)), 0.0, False),
        (flat, 1.0, True),
        (flat[:3], 1.0, True),
    ],
)
def test_a_pose_is_only_found_where_the_points_tell_it(points, weight, found):
    T = pose(0.1, -0.2, 0.6, (0.5, 2.0, -1.0))
    good = scene(T, 0, count=max(len(points), 30), wrong=0.3)[:2]
    size = good[0].shape[1]
    a, b, weights = np.zeros((2, size, 3)), np.zeros((2, size, 1, 3)), np.zeros((2, size, 1))
    a[0, : len(points)], b[0, : len(points), 0] = points, moved(T, points)
    weights[0, : len(points)] = weight
    a[1], b[1], weights[1] = good[0][0], good[1][0], 1
    fits = aligned(a, b, weights)
    assert fits.found.tolist() == [found, True]
    for values in (fits.rotation, fits.translation, fits.scale, fits.apply(a)):
        assert np.isfinite(values).all()
    if found:
        np.testing.assert_allclose(matrix(fits), T, atol=1e-9)


def test_what_is_all_seen_at_one_place_is_no_smaller_object():
    rng = np.random.default_rng(0)
    a = rng.uniform(-0.03, 0.03, (1, 30, 3))
    b = [0.1, 0.0, 0.6] + rng.normal(0, 0.001, (1, 30, 1, 3))
    assert not aligned(a, b).found[0]


# Poses of references from such points.


def poses(a, b, count=1, scales=(0.7, 1.4), weights=None):
    """What is found of one reference whose score is the share of its points that agree."""
    weights = np.ones(b.shape[:3]) if weights is None else weights
    with np.errstate(invalid="ignore"):
        pixels = np.nan_to_num(CAMERA.project(b))
    given = Correspondences(a, b, pixels, weights)
    (found,) = find_poses(
        "registered",
        given,
        lambda numbers, agreeing: agreeing.sum(axis=(1, 2)) / a.shape[1],
        CAMERA,
        4,
        scales,
        count,
    )
    return found


@given(T=motions, there=motions, seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_poses_move_with_what_is_seen(T, there, seed):
    a, b, right = scene(T, seed, wrong=0.5, noise=0.0005)
    ahead = [0, 0, 2.5]  # in front of the camera wherever it has turned
    (here,) = poses(a, b + ahead)
    (elsewhere,) = poses(a, moved(there, b) + ahead)
    shift = pose(*ahead)
    np.testing.assert_allclose(
        elsewhere.T_camera_point,
        shift @ there @ np.linalg.inv(shift) @ here.T_camera_point,
        atol=1e-9,
    )
    assert elsewhere.score == here.score >= right.sum() / right.size - 0.05
    assert is_rigid(here.T_camera_point)
    np.testing.assert_allclose(here.pixel, CAMERA.project(here.T_camera_point[:3, 3]))
    assert here.inliers >= right.sum() - 1
    assert 0.0003 < here.spread < 0.002
    assert 0 < here.spread_px < 3


def test_each_instance_is_found_once_best_seen_first():
    truths = [pose(x, 0, 0.6, (0, 0.3, turn)) for x, turn in ((-0.2, 0), (0.0, 1), (0.2, 2))]
    rng = np.random.default_rng(0)
    a = rng.uniform(-0.05, 0.05, (1, 40, 3))
    b = np.stack([moved(T, a[0]) for T in truths], axis=1)[None]
    weights = np.ones((1, 40, 3))
    for i, seen in enumerate((20, 40, 30)):
        weights[0, seen:, i] = 0
    found = poses(a, b, count=5, weights=weights)
    assert [answer.inliers for answer in found] == [40, 30, 20]
    for answer, i in zip(found, (1, 2, 0), strict=True):
        np.testing.assert_allclose(answer.T_camera_point, truths[i], atol=1e-9)
    assert len(poses(a, b, count=2, weights=weights)) == 2


def test_what_is_no_pose_says_why():
    a, b, right = scene(pose(0.1, 0, 0.6), 0, wrong=0.5, noise=0)
    few = right & (right.cumsum(axis=1) <= FEWEST_INLIERS - 1)
    reasons = {
        "do not agree on any pose": poses(a, b, weights=np.zeros(b.shape[:3])),
        "few inliers: 5 points agree on a pose, 6 must": poses(a, b, weights=1.0 * few),
        "scale 1.30 is out of the range 0.8 to 1.2": poses(a, 1.3 * b, scales=(0.8, 1.2)),
        "is behind the camera": poses(a + [0, 0, 0.8], b),
    }
    for expected, (answer,) in reasons.items():
        assert isinstance(answer, NotFound)
        assert expected in answer.reason
    one_more = right & (right.cumsum(axis=1) <= FEWEST_INLIERS)
    assert isinstance(poses(a, b, weights=1.0 * one_more)[0], PointPose)


def test_motions_unlike_each_other_are_given_the_likeliest_first():
    """Of an object with a side that looks like another: 30 points speak for one, 18 for another."""
    rng = np.random.default_rng(0)
    right, wrong = pose(0.1, 0.2, 0.6, (0.5, 0.3, 1.0)), pose(0.1, 0.2, 0.6, (0.5, 0.3, -2.1))
    a = rng.uniform(-0.06, 0.06, (60, 3))
    b = rng.uniform(-0.25, 0.25, (60, 3)) + right[:3, 3]
    b[:30], b[30:48] = moved(right, a[:30]), moved(wrong, a[30:48])
    tolerance = np.full((1, 60, 1), TOLERANCE)
    importance = np.ones((1, 60))
    fits = align(
        a[None], b[None, :, None], np.ones((1, 60, 1)), importance, tolerance, SCALES, None, 2
    )
    assert fits.found.all()
    for i, T in enumerate((right, wrong)):
        millimetres, degrees = difference(matrix(fits, i), T)
        assert millimetres < 1 and degrees < 1
    assert fits.inliers.sum(axis=(1, 2)).tolist() == [30, 18]
