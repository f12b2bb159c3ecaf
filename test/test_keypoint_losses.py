"""Keypoints as expectations, and each loss: formula, gradient, and where it is least."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from dense_desc_ros import se3
from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.keypoints import REFERENCE_FOCAL, back_project, expectations
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.objectives.keypoint import (
    KeypointConfig,
    KeypointObjective,
    consistency,
    relative_pose,
    separation,
    silhouette,
)

CAMERA = PinholeCamera(300.0, 310.0, 63.5, 47.5, 128, 96)
K = torch.from_numpy(CAMERA.matrix)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def motions(count, seed=0):
    return se3.exp(normal(count, 6, seed=seed))


def test_expectations_are_their_sums_over_all_places():
    logits, depths = normal(2, 3, 4, 6), normal(2, 3, 4, 6, seed=1).exp()
    found = expectations(logits, depths, 8, 300.0)
    p = softmax(logits.numpy(), axis=(2, 3))
    v, u = np.mgrid[0:4, 0:6] * 8 + 3.5
    pixels = np.stack([(p * u).sum((2, 3)), (p * v).sum((2, 3))], axis=-1)
    squared = (u - pixels[..., :1, None]) ** 2 + (v - pixels[..., 1:, None]) ** 2
    np.testing.assert_allclose(found.pixels, pixels, rtol=1e-5)
    np.testing.assert_allclose(found.variances, (p * squared).sum((2, 3)), rtol=1e-4)
    expected = (p * depths.numpy()).sum((2, 3)) * 300 / REFERENCE_FOCAL
    np.testing.assert_allclose(found.depths, expected, rtol=1e-5)


def test_back_projection_is_the_cameras():
    pixels, depths = normal(2, 5, 2) * 40, normal(2, 5).exp()
    points = back_project(pixels, depths, K.expand(2, 3, 3))
    np.testing.assert_allclose(points, CAMERA.back_project(pixels.numpy(), depths.numpy()))


def test_gradients_agree_with_finite_differences():
    a, b, pixels = normal(2, 6, 3), normal(2, 6, 3, seed=1), normal(2, 5, 2) * 2
    logits, masks = normal(2, 3, 3, 4), torch.rand(2, 24, 32) < 0.3
    T = motions(2)
    for x in (a, b, pixels, logits):
        x.requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda a, b: consistency(a, b, 0.5), (a, b))
    assert check(lambda a, b: relative_pose(a, b, T), (a, b))
    assert check(lambda pixels: separation(pixels, 2.0), pixels)
    assert check(lambda logits: silhouette(logits, masks), logits)
    assert check(
        lambda pixels, a: back_project(pixels, a[..., 0], K.expand(2, 3, 3)),
        (pixels[:, :5], a[:, :5]),
    )


def test_consistency_is_huber_of_what_points_differ_by():
    a, b = torch.zeros(1, 2, 3), torch.tensor([[[0.1, 0.0, 0.0], [0.0, 0.0, 2.0]]])
    assert consistency(a, b, 0.5).item() == pytest.approx((0.1**2 / 2 + 0.5 * (2 - 0.25)) / 2)
    assert consistency(b, b, 0.5) == 0


@pytest.mark.parametrize("error", [0.0, 1e-3, 0.5])
def test_relative_pose_is_the_length_of_the_twist_between(error):
    T_a_b = motions(3)
    twist = error * torch.nn.functional.normalize(normal(3, 6, seed=2), dim=1)
    points_b = normal(3, 7, 3)
    points_a = se3.transform(T_a_b @ se3.exp(twist), points_b)
    assert relative_pose(points_a, points_b, T_a_b).item() == pytest.approx(error, abs=1e-9)


def test_keypoints_nearer_than_the_margin_push_each_other_apart():
    far = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 5.0]]])
    assert separation(far, 2.0) == 0
    near = torch.tensor([[[0.0, 0.0], [0.5, 0.0], [0.0, 5.0]]], requires_grad=True)
    loss = separation(near, 2.0)
    assert loss.item() == pytest.approx(2 * 1.5 / 3)
    (gradient,) = torch.autograd.grad(loss, near)
    assert gradient[0, 0, 0] > 0 > gradient[0, 1, 0] and not gradient[0, 2].any()


def test_silhouette_is_the_probability_on_the_mask():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[:, :8, :4] = True  # half of the first of four features
    logits = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]], [[60.0, 0.0], [0.0, 0.0]]]])
    assert silhouette(logits[:, :1], masks).item() == pytest.approx(np.log(8))
    assert silhouette(logits[:, 1:], masks).item() == pytest.approx(np.log(2))
    masks[:, :8, :8] = True
    assert silhouette(logits[:, 1:], masks).item() == pytest.approx(0, abs=1e-6)


def test_a_keypoint_far_off_the_mask_is_still_drawn_to_it():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[:, :8, :8] = True
    logits = torch.tensor([[[[-300.0, 0.0], [300.0, 0.0]]]], requires_grad=True)
    loss = silhouette(logits, masks)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(600) and gradient[0, 0, 0, 0] == -1


def test_the_objective_is_least_for_keypoints_fixed_to_the_object():
    """Heads that already find fixed points of the object have nothing but their spread to lose."""
    places = [((3, 2), (9, 8), (12, 4)), ((4, 3), (10, 9), (13, 5))]  # moved by one feature
    network = DescriptorNetwork(NetworkConfig("resnet18", 8, 4, keypoints=3))
    features = torch.zeros(2, 4, 12, 16)
    for view, of_view in enumerate(places):
        for n, (column, row) in enumerate(of_view):
            features[view, n, row, column] = 1.0
    with torch.no_grad():
        network.spatial_head.weight.copy_(200 * torch.eye(3, 4)[:, :, None, None])
        for parameter in (network.spatial_head.bias, *network.depth_head.parameters()):
            parameter.zero_()
    depth = 300.0 / REFERENCE_FOCAL  # what the depth head says: exp(0)
    T = torch.eye(4).repeat(1, 2, 1, 1)
    T[0, 1, :2, 3] = -8 * depth / torch.tensor([CAMERA.fx, CAMERA.fy])
    batch = {
        "intrinsics": K.float().expand(1, 2, 3, 3),
        "T_object_camera": T,
        "masks": torch.ones(1, 2, 96, 128, dtype=torch.bool),
    }
    losses = KeypointObjective(KeypointConfig())(network, features, batch)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(0, abs=1e-3), name
    batch["T_object_camera"] = T.flip(1)
    worse = KeypointObjective(KeypointConfig())(network, features, batch)
    assert worse["consistency"] > losses["consistency"] + 1e-4
    assert worse["relative_pose"] > losses["relative_pose"] + 1e-2


def test_a_model_with_heads_finds_keypoints_after_saving(tmp_path):
    config = NetworkConfig("resnet18", 8, 6, keypoints=5)
    model = DescriptorModel(DescriptorNetwork(config), device="cpu")
    model.save(tmp_path / "weights.safetensors", {"training": "{}"})
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    saved = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu", "float32")
    found = saved.keypoints(image, CAMERA)
    assert found.pixels.shape == (5, 2) and found.depths.shape == found.variances.shape == (5,)
    for mine, loaded in zip(model.keypoints(image, CAMERA), found, strict=True):
        torch.testing.assert_close(mine, loaded)


def test_a_model_without_heads_is_described_as_before_there_were_any(tiny_model):
    assert "keypoints" not in tiny_model.config.to_json()
    with pytest.raises(InvalidInputError, match="without keypoints"):
        tiny_model.keypoints(np.zeros((64, 64, 3), np.uint8), CAMERA)
