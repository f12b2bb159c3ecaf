"""Rotations and rigid motions: exponential, logarithm, inverse, and their fit to points.

Everything takes and gives torch tensors of any leading dimensions, and is differentiable. A twist
is (v, ω): translation in metres first, then the rotation vector in radians. Formulas after Barfoot,
"State Estimation for Robotics" (2017), chapter 7, unless a function names another source.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

SMALL_SQUARED = 1e-2  # rad²; below, four terms of a series are exact to double precision
AMBIGUOUS = 1e-6  # of the largest singular value


def exp_so3(rotation_vector: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians (Rodrigues' formula)."""
    w = _skew(rotation_vector)
    squared = rotation_vector.square().sum(dim=-1)[..., None, None]
    return _eye(rotation_vector, 3) + _sine_factor(squared) * w + _cosine_factor(squared) * (w @ w)


def log_so3(rotation: Tensor) -> Tensor:
    """Rotation vectors (..., 3), of length at most π, of rotation matrices (..., 3, 3).

    By way of the unit quaternion, which is exact and differentiable up to half a turn, where the
    usual formula divides by the sine of π.
    """
    q = _quaternion(rotation)
    w, v = q[..., :1], q[..., 1:]
    squared = v.square().sum(dim=-1, keepdim=True)
    small = squared < SMALL_SQUARED**2
    sine = torch.where(small, 1.0, squared).sqrt()
    cosine = torch.where(small, w, 1.0)
    ratio = squared / cosine.square()
    series = (1 - ratio * (1 / 3 - ratio * (1 / 5 - ratio / 7))) / cosine
    return 2 * v * torch.where(small, series, torch.atan2(sine, w) / sine)


def exp(twist: Tensor) -> Tensor:
    """Rigid motions (..., 4, 4) of twists (..., 6)."""
    v, w = twist.split(3, dim=-1)
    return from_parts(exp_so3(w), (_left_jacobian(w) @ v[..., None])[..., 0])


def log(T: Tensor) -> Tensor:
    """Twists (..., 6) of rigid motions (..., 4, 4): the inverse of `exp`."""
    w = log_so3(T[..., :3, :3])
    v = torch.linalg.solve(_left_jacobian(w), T[..., :3, 3])
    return torch.cat([v, w], dim=-1)


def inverse(T: Tensor) -> Tensor:
    """The inverse motions (..., 4, 4) of rigid ones."""
    transposed = T[..., :3, :3].mT
    return from_parts(transposed, -(transposed @ T[..., :3, 3:])[..., 0])


def transform(T: Tensor, points: Tensor) -> Tensor:
    """Points (..., N, 3) in the frame that T_a_b (..., 4, 4) maps to, given in the other."""
    return points @ T[..., :3, :3].mT + T[..., None, :3, 3]


def from_parts(rotation: Tensor, translation: Tensor) -> Tensor:
    """Motions (..., 4, 4) of rotations (..., 3, 3), or scaled ones, and translations (..., 3)."""
    top = torch.cat([rotation, translation[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def kabsch(a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
    """The rigid motions T (..., 4, 4) that minimise Σ wₙ ‖T aₙ - bₙ‖², never a reflection.

    Where points lie on a line the turn about it is arbitrary; no gradient asks for another one, so
    gradients are finite for all input.

    Source: Kabsch, "A solution for the best rotation to relate two sets of vectors" (1976).

    Args:
        a, b: (..., N, 3) corresponding points.
        weights: (..., N), not negative; all alike if not given.
    """
    return _align(a, b, weights, with_scale=False)


def umeyama(a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
    """The similarities S (..., 4, 4), scale included, that minimise Σ wₙ ‖S aₙ - bₙ‖².

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns" (1991). Arguments as for `kabsch`; the points of `a` must not all be the same.
    """
    return _align(a, b, weights, with_scale=True)


def _align(a: Tensor, b: Tensor, weights: Tensor | None, with_scale: bool) -> Tensor:
    w = torch.ones_like(a[..., 0]) if weights is None else weights
    w = (w / w.sum(dim=-1, keepdim=True))[..., None]
    mean_a, mean_b = ((w * points).sum(dim=-2, keepdim=True) for points in (a, b))
    centred_a, centred_b = a - mean_a, b - mean_b
    covariance = (w * centred_b).mT @ centred_a
    linear = _NearestRotation.apply(covariance)
    if with_scale:
        explained = (linear * covariance).sum(dim=(-2, -1))
        spread = (w * centred_a.square()).sum(dim=(-2, -1))
        linear = linear * (explained / spread)[..., None, None]
    return from_parts(linear, (mean_b - mean_a @ linear.mT)[..., 0, :])


class _NearestRotation(torch.autograd.Function):
    """The rotations R (..., 3, 3) that maximise tr(Rᵀ M).

    With M = R V diag(σ) Vᵀ, the last σ negative where R Vᵀ would else be a reflection, the
    derivative is dR = R V Ω Vᵀ with Ωᵢⱼ = (Vᵀ (Rᵀ dM - dMᵀ R) V)ᵢⱼ / (σᵢ + σⱼ). It exists unless
    the rotation itself is ambiguous; differentiating through the singular vectors would also
    divide by σᵢ - σⱼ, which is zero for harmless input.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        u, s, vt = torch.linalg.svd(matrix)
        sign = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)[..., None]
        signs = torch.cat([torch.ones_like(s[..., :2]), sign.to(s)], dim=-1)
        rotation = (u * signs[..., None, :]) @ vt
        ctx.save_for_backward(rotation, s * signs, vt)
        return rotation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rotation, s, vt = ctx.saved_tensors
        sums = s[..., :, None] + s[..., None, :]
        certain = sums > AMBIGUOUS * s[..., :1, None]
        inverse_sums = torch.where(certain, 1 / torch.where(certain, sums, 1.0), 0.0)
        turn = (vt @ rotation.mT @ gradient @ vt.mT) * inverse_sums
        return rotation @ vt.mT @ (turn - turn.mT) @ vt


def _quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternions (..., 4) as (w, x, y, z), w ≥ 0, of rotation matrices (..., 3, 3).

    4 q qᵀ is linear in the matrix; its row with the largest diagonal entry is q up to scale.
    Source: Shepperd, "Quaternion from rotation matrix" (1978).
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (r.unbind(-1) for r in rotation.unbind(-2))
    rows = [
        [1 + xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz],
    ]
    products = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None]
    q = products.take_along_dim(largest, dim=-2)[..., 0, :]
    return functional.normalize(torch.where(q[..., :1] < 0, -q, q), dim=-1)


def _left_jacobian(rotation_vector: Tensor) -> Tensor:
    """(..., 3, 3): maps the first half of a twist to the translation of its motion."""
    w = _skew(rotation_vector)
    squared = rotation_vector.square().sum(dim=-1)[..., None, None]
    return _eye(rotation_vector, 3) + _cosine_factor(squared) * w + _third_factor(squared) * (w @ w)


def _sine_factor(squared: Tensor) -> Tensor:
    """sin θ / θ, from θ²."""
    small = squared < SMALL_SQUARED
    angle = torch.where(small, 1.0, squared).sqrt()
    series = 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42 * (1 - squared / 72)))
    return torch.where(small, series, angle.sin() / angle)


def _cosine_factor(squared: Tensor) -> Tensor:
    """(1 - cos θ) / θ², from θ²."""
    return _sine_factor(squared / 4).square() / 2


def _third_factor(squared: Tensor) -> Tensor:
    """(θ - sin θ) / θ³, from θ²."""
    small = squared < SMALL_SQUARED
    angle = torch.where(small, 1.0, squared).sqrt()
    series = 1 / 6 - squared / 120 * (1 - squared / 42 * (1 - squared / 72 * (1 - squared / 110)))
    return torch.where(small, series, (angle - angle.sin()) / angle**3)


def _skew(vector: Tensor) -> Tensor:
    """The matrices (..., 3, 3) of the cross product with vectors (..., 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _eye(like: Tensor, size: int) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
