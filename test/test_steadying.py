"""Poses over frames: still ones get steadier, moved ones are followed, and none is torn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dense_desc_ros.grasping.steadying import MAX_TRACKS, PoseSteadier

FRAME_NS = 33_000_000


def pose(position=(0.0, 0.0, 0.0), rotvec=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    T[:3, 3] = position
    return T


def seen(truths, seed=0, metres=0.001, radians=0.02):
    """Truths (4, 4) with the noise of measuring them."""
    rng = np.random.default_rng(seed)
    return [
        pose(rng.normal(T[:3, 3], metres), rng.normal(0, radians, 3)) @ pose(rotvec=turn(T))
        for T in truths
    ]


def turn(T):
    return Rotation.from_matrix(T[:3, :3]).as_rotvec()


def steadied(poses, steadier=None):
    steadier = steadier or PoseSteadier()
    return np.array([steadier.steady("cap", [T], k * FRAME_NS)[0] for k, T in enumerate(poses)])


def test_the_noise_of_a_still_pose_shrinks():
    measured = np.array(seen([pose((0.4, 0.1, 0.3), (3.0, 0, 0.5))] * 200))
    filtered = steadied(measured)
    mean = measured[:, :3, :3].mean(axis=0)
    for spread in (
        lambda poses: poses[100:, :3, 3].std(axis=0).max(),
        lambda poses: np.linalg.norm(poses[100:, :3, :3] - mean, axis=(1, 2)).mean(),
    ):
        assert spread(filtered) < spread(measured) / 2.5


@pytest.mark.parametrize("move", [pose((0.03, 0, 0)), pose(rotvec=(0, 0, np.radians(50)))])
def test_a_jump_is_followed_in_the_same_frame(move):
    measured = seen([pose()] * 30 + [move])
    np.testing.assert_array_equal(steadied(measured)[-1], measured[-1])


def test_a_small_move_within_the_gate_is_followed_in_a_few_frames():
    filtered = steadied(seen([pose()] * 50 + [pose((0.01, 0, 0))] * 4))
    assert abs(filtered[-1, 0, 3] - 0.01) < 0.003


def test_a_single_wrong_pose_within_the_gate_does_not_pull_the_others_along():
    measured = seen([pose()] * 50 + [pose((0.01, 0, 0))] + [pose()] * 5, metres=0.0003)
    assert np.abs(steadied(measured)[50:, 0, 3]).max() < 0.0015


@pytest.mark.parametrize("metres", [0, 0.0003, 0.001])
def test_a_drift_of_a_millimetre_per_frame_does_not_lag_behind(metres):
    truths = [pose((max(0, k - 50) * 1e-3, 0, 0)) for k in range(250)]
    filtered = steadied(seen(truths, metres=metres))
    assert np.abs(filtered - truths)[:, 0, 3].max() < 0.005


def test_a_slow_turn_does_not_lag_behind():
    angles = [max(0, k - 50) * 0.01 for k in range(250)]
    filtered = steadied(seen([pose(rotvec=(0, 0, angle)) for angle in angles], radians=0.01))
    assert max(abs(turn(T)[2] - a) for T, a in zip(filtered, angles, strict=True)) < 0.06


def test_instances_and_names_do_not_mix():
    """Two instances 20 mm apart, in changing order, and another object at the place of one."""
    steadier = PoseSteadier()
    places = np.array([[0.0, 0, 0.5], [0.02, 0, 0.5]])
    for k in range(60):
        order = [0, 1] if k % 3 else [1, 0]
        found = steadier.steady("cap", seen([pose(places[i]) for i in order], k), k * FRAME_NS)
        other = steadier.steady("mug", [pose(places[0] + 0.004)], k * FRAME_NS)
    positions = np.array([T[:3, 3] for T in found])
    np.testing.assert_allclose(positions, places[order], atol=0.0015)
    np.testing.assert_allclose(other[0][:3, 3], places[0] + 0.004, atol=1e-12)


@pytest.mark.parametrize("stamp_ns", [10 * FRAME_NS, 29 * FRAME_NS + 1_000_000_001])
def test_a_recording_started_anew_and_a_long_absence_are_new_starts(stamp_ns):
    steadier = PoseSteadier()
    steadied(seen([pose()] * 30), steadier)
    new = pose((0.005, 0, 0))
    np.testing.assert_array_equal(steadier.steady("cap", [new], stamp_ns)[0], new)


def test_a_missing_frame_is_not_an_absence():
    steadier = PoseSteadier()
    steadied(seen([pose()] * 30), steadier)
    assert steadier.steady("cap", [], 30 * FRAME_NS) == []
    assert steadier.steady("cap", [pose((0.005, 0, 0))], 31 * FRAME_NS)[0][0, 3] < 0.0015


def test_memory_is_bounded():
    steadier = PoseSteadier()
    for k in range(3 * MAX_TRACKS):
        steadier.steady("cap", [pose((k, 0, 0))], k)
        steadier.steady(f"name_{k}", [pose()], k)
    assert len(steadier._tracks["cap"]) == MAX_TRACKS
    steadier.steady("cap", [pose()], 10**10)
    assert list(steadier._tracks) == ["cap"]


@given(
    numbers=st.lists(st.tuples(*[st.floats(-4, 4)] * 6), min_size=1, max_size=12),
    scale=st.sampled_from([1e-9, 1e-3, 0.02, 1.0]),
)
def test_what_comes_out_is_always_a_rigid_motion(numbers, scale):
    base = pose((0.3, -0.2, 0.8), (np.pi, 0, 0))
    poses = [pose(np.multiply(n[:3], scale), np.multiply(n[3:], scale)) @ base for n in numbers]
    for T in steadied(poses):
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(T[:3, :3]) > 0
        np.testing.assert_array_equal(T[3], [0, 0, 0, 1])
