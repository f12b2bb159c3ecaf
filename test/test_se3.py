"""Rigid motions against SciPy, near no turn and near half a turn; their fit to points."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from dense_desc_ros import se3

ANGLES = [0.0, 1e-12, 1e-7, 1e-4, 0.0099, 0.0101, 0.02, 0.0999, 0.1001, 1.0, 3.0]
NEAR_HALF_A_TURN = [np.pi - 1e-2, np.pi - 1e-5, np.pi - 1e-9]
vectors = arrays(np.float64, 3, elements=st.floats(-2, 2))


def axes(count=20):
    drawn = np.random.default_rng(0).normal(size=(count, 3))
    return np.vstack([drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.eye(3), -np.eye(3)])


def points(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(*shape, 3)))


@pytest.mark.parametrize("angle", ANGLES + NEAR_HALF_A_TURN)
def test_rotations_agree_with_scipy(angle):
    rotvecs = axes() * angle
    expected = Rotation.from_rotvec(rotvecs)
    ours = se3.exp_so3(torch.from_numpy(rotvecs))
    np.testing.assert_allclose(ours, expected.as_matrix(), atol=1e-14)
    back = se3.log_so3(torch.from_numpy(expected.as_matrix()))
    np.testing.assert_allclose(back, rotvecs, atol=1e-14, rtol=1e-12)


def test_half_a_turn_has_a_logarithm():
    logs = se3.log_so3(torch.from_numpy(Rotation.from_rotvec(axes() * np.pi).as_matrix()))
    np.testing.assert_allclose(np.linalg.norm(logs, axis=1), np.pi, rtol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(logs.numpy() * axes(), axis=1)), np.pi, rtol=1e-12)


@given(vectors, vectors)
def test_motions_are_the_matrix_exponential_of_their_twists(v, w):
    twist = np.concatenate([v, w])
    generator = np.zeros((4, 4))
    generator[:3, :3] = np.cross(np.eye(3), w)
    generator[:3, 3] = v
    T = se3.exp(torch.from_numpy(twist))
    np.testing.assert_allclose(T, expm(generator), atol=1e-12)
    if np.linalg.norm(w) < np.pi - 1e-6:
        np.testing.assert_allclose(se3.log(T), twist, atol=1e-9)
    np.testing.assert_allclose(T @ se3.inverse(T), np.eye(4), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.0999, 0.1001, 1.5, np.pi - 1e-4])
def test_gradients_agree_with_finite_differences(angle):
    twists = torch.from_numpy(np.hstack([axes(2), axes(2) * angle])).requires_grad_()
    assert torch.autograd.gradcheck(se3.exp, twists)
    assert torch.autograd.gradcheck(se3.log, se3.exp(twists).detach().requires_grad_())


def test_single_precision_is_enough_for_small_turns():
    rotvecs = torch.from_numpy(axes() * 1e-3)
    T = se3.exp(torch.cat([rotvecs, rotvecs], dim=1).float())
    torch.testing.assert_close(se3.log(T)[:, 3:].double(), rotvecs, atol=1e-7, rtol=1e-4)


@given(st.integers(0, 1000), st.booleans())
def test_kabsch_agrees_with_scipy(seed, weighted):
    a, b = points(2, 7, seed=seed)
    weights = torch.rand(7, dtype=torch.float64) if weighted else torch.ones(7).double()
    T = se3.kabsch(a, b, weights if weighted else None)
    a, b, weights = a.numpy(), b.numpy(), weights.numpy()
    mean_a, mean_b = (np.average(x, axis=0, weights=weights) for x in (a, b))
    expected, _ = Rotation.align_vectors(b - mean_b, a - mean_a, weights=weights)
    np.testing.assert_allclose(T[:3, :3], expected.as_matrix(), atol=1e-8)
    np.testing.assert_allclose(se3.transform(T, torch.tensor(mean_a)[None])[0], mean_b, atol=1e-8)


def test_fits_are_exact_where_points_are():
    truth = se3.exp(torch.from_numpy(np.random.default_rng(1).normal(size=(5, 6))))
    a = points(5, 6)
    torch.testing.assert_close(se3.kabsch(a, se3.transform(truth, a)), truth)
    scaled = truth.clone()
    scaled[:, :3, :3] *= 1.7
    torch.testing.assert_close(se3.umeyama(a, se3.transform(scaled, a)), scaled)


def test_a_mirrored_object_is_fitted_by_a_rotation():
    a = points(3, 8)
    T = se3.kabsch(a, a * torch.tensor([1.0, 1.0, -1.0]))
    torch.testing.assert_close(torch.linalg.det(T[:, :3, :3]), torch.ones(3).double())


@pytest.mark.parametrize("flat", [1.0, 0.0])
def test_gradients_of_fits_agree_with_finite_differences(flat):
    a, b = (points(2, 5, seed=s) * torch.tensor([1.0, 1.0, flat]) for s in (1, 2))
    weights = torch.rand(2, 5, dtype=torch.float64).requires_grad_()
    inputs = a.requires_grad_(), b.requires_grad_(), weights
    assert torch.autograd.gradcheck(se3.kabsch, inputs)
    assert torch.autograd.gradcheck(se3.umeyama, inputs)


@pytest.mark.parametrize("directions", [1, 0])
def test_points_on_a_line_or_at_one_place_have_finite_gradients(directions):
    a = points(5)[:, :1] * torch.tensor([[1.0, 2.0, 3.0]]) * directions
    a = a.double().requires_grad_()
    T = se3.kabsch(a, a.detach().roll(1, dims=1))
    (gradient,) = torch.autograd.grad(se3.log(T).sum(), a)
    assert gradient.isfinite().all()
    torch.testing.assert_close(torch.linalg.det(T[:3, :3]).item(), 1.0)
