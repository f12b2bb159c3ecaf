"""Objectives by correspondences: their formulas, where they are least, and their gradients."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.keypoints import feature_centres
from dense_desc_ros.network import NetworkConfig
from dense_desc_ros.training.objectives.class_aware import ClassAwareConfig, ClassAwareObjective
from dense_desc_ros.training.objectives.contrastive import (
    ContrastiveConfig,
    ContrastiveObjective,
    non_match,
)
from dense_desc_ros.training.objectives.distribution import (
    DistributionConfig,
    DistributionObjective,
    gaussians,
    kl_divergence,
)
from dense_desc_ros.training.objectives.guided import GuidedConfig, GuidedObjective
from dense_desc_ros.training.objectives.optimal import OptimalConfig, OptimalObjective
from dense_desc_ros.training.objectives.sampling import sample_pairs

STRIDE, GRID = 8, torch.Size([4, 6])
NETWORK = SimpleNamespace(config=NetworkConfig("resnet18", STRIDE, 5))
CENTRES = feature_centres(GRID, STRIDE, torch.device("cpu"))
CHOSEN = [1, 8, 14, 21]  # features in whose centres the points are
BACKGROUND = [0, 6, 12, 18]  # the first column is off the object


def make_batch(pairs=2, labels=None):
    """Views in which the same features show the same points."""
    size = GRID[0] * STRIDE, GRID[1] * STRIDE
    masks = torch.ones(pairs, 2, *size, dtype=torch.bool)
    masks[..., :STRIDE] = False
    canonical = torch.rand(pairs, 2, *size, 3).masked_fill(~masks[..., None], torch.nan)
    return {
        "images": torch.zeros(pairs, 2, 3, *size, dtype=torch.uint8),
        "pixels": CENTRES[CHOSEN].expand(pairs, 2, -1, -1).clone(),
        "masks": masks,
        "labels": torch.arange(pairs)[:, None].expand(-1, 2) if labels is None else labels,
        "canonical": canonical,
    }


def as_maps(descriptors):
    """Features (n, D, h, w) of descriptors (n, h·w, D)."""
    return descriptors.transpose(1, 2).unflatten(2, GRID)


def test_features_are_sampled_and_told_from_the_background_by_masks():
    features = torch.randn(4, 5, *GRID)
    sampled = sample_pairs(features, make_batch(), STRIDE)
    for view, found in enumerate((sampled.a, sampled.b)):
        expected = features[view::2].flatten(2)[:, :, CHOSEN].transpose(1, 2)
        torch.testing.assert_close(found, expected)
    assert (~sampled.on_object[0]).nonzero().flatten().tolist() == BACKGROUND
    assert sampled.distances[0, 1, 8] < 1e-3 and sampled.distances[0, 1, 9] == STRIDE
    unmasked = {k: v for k, v in make_batch().items() if k != "masks"}
    assert sample_pairs(features, unmasked, STRIDE).on_object.all()


def test_contrastive_is_its_formula():
    features = 0.2 * torch.randn(2, 5, *GRID)
    config = ContrastiveConfig(margin=0.6, exclusion=12.0)
    found = ContrastiveObjective(config)(NETWORK, features, make_batch(pairs=1))
    a, b = features.flatten(2).transpose(1, 2).numpy()
    terms = {"masked": [], "background": []}
    for n in CHOSEN:
        for m in range(len(b)):
            if np.linalg.norm(CENTRES[n] - CENTRES[m]) >= 12:
                kind = "background" if m in BACKGROUND else "masked"
                terms[kind].append(max(0, 0.6 - np.linalg.norm(a[n] - b[m])) ** 2)
    expected = {kind: sum(t) / sum(x > 0 for x in t) for kind, t in terms.items()}
    expected["match"] = np.mean([np.sum((a[n] - b[n]) ** 2) for n in CHOSEN])
    expected["loss"] = sum(expected.values())
    assert {k: v.item() for k, v in found.items()} == pytest.approx(expected, rel=1e-4)


def test_contrastive_is_nothing_where_matches_agree_and_others_are_a_margin_apart():
    apart = torch.eye(24)[None].expand(2, -1, -1)  # any two at a distance of the root of 2
    features = as_maps(apart).clone().requires_grad_()
    objective = ContrastiveObjective(ContrastiveConfig(margin=1.4, exclusion=4.0))
    loss = objective(NETWORK, features, make_batch(pairs=1))["loss"]
    loss.backward()
    assert loss < 1e-6 and features.grad.abs().max() < 1e-3
    wider = ContrastiveObjective(ContrastiveConfig(margin=1.6, exclusion=4.0))
    assert wider(NETWORK, features, make_batch(pairs=1))["loss"] > 0.01


def test_non_matches_that_are_far_enough_do_not_dilute_the_others():
    near, far = torch.tensor([0.04, 0.09]), torch.full((100,), 4.0)
    alone = non_match(near, torch.ones(2, dtype=torch.bool), 0.5)
    among = non_match(torch.cat([near, far]), torch.ones(102, dtype=torch.bool), 0.5)
    assert alone == among == pytest.approx((0.3**2 + 0.2**2) / 2)
    assert non_match(near, torch.zeros(2, dtype=torch.bool), 0.5) == 0


def test_divergence_is_that_of_scipy_and_gaussians_are_probabilities():
    p = gaussians(torch.rand(7, 20, dtype=torch.float64) * 50, sigma=10.0)
    q = torch.rand(7, 20, dtype=torch.float64).softmax(dim=1)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(7).double())
    expected = np.mean([entropy(*pair) for pair in zip(p, q, strict=True)])
    assert kl_divergence(p, q.log()).item() == pytest.approx(expected)
    assert kl_divergence(p, p.log()).item() == pytest.approx(0, abs=1e-12)


def test_distribution_is_least_where_descriptors_are_scaled_places():
    """exp(-‖f(u) - f(u*)‖² / τ) is the Gaussian of σ, if f(u) = u √(τ / 2σ²)."""
    config = DistributionConfig(temperature=0.2, sigma=9.0, expectation=0.0)
    places = CENTRES[None].expand(2, -1, -1) * (0.2 / (2 * 9.0**2)) ** 0.5
    objective, batch = DistributionObjective(config), make_batch(pairs=1)
    features = as_maps(places).clone().requires_grad_()
    found = objective(NETWORK, features, batch)
    found["loss"].backward()
    assert found["divergence"] < 1e-5 and features.grad.abs().max() < 1e-4
    assert found["distance"] < 0.1
    assert objective(NETWORK, features.flip(3) * 0.5, batch)["divergence"] > 0.1


def test_objects_of_other_classes_are_pushed_apart_and_those_of_one_are_not():
    one_place = torch.full((4, 24, 5), 0.3)
    config = ClassAwareConfig(margin=0.1, class_margin=0.8)
    hard = ClassAwareObjective(config)
    others = hard(NETWORK, as_maps(one_place), make_batch(labels=torch.tensor([[0, 0], [1, 1]])))
    assert others["classes"].item() == pytest.approx(0.8**2, rel=1e-3)
    same = hard(NETWORK, as_maps(one_place), make_batch(labels=torch.zeros(2, 2, dtype=int)))
    assert same["classes"] == 0
    for found in (others, same):
        assert found["masked"].item() == pytest.approx(0.1**2, rel=1e-2)
        assert found["background"].item() == pytest.approx(0.8**2, rel=1e-3)
        assert found["match"] == 0


def test_soft_margins_shrink_with_the_likeness_of_objects():
    soft = ClassAwareObjective(ClassAwareConfig(class_margin=0.8, margins="soft"))
    directions = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0.6, 0.8, 0], [-1, 0, 0]])
    a = directions[[0, 2], None].expand(2, 4, 3)
    b = directions[[1, 3], None].expand(2, 4, 3)
    alike = soft.alike(a, b, None)
    torch.testing.assert_close(alike, torch.tensor([[1.0, 0.0], [0.6, 0.0]]))
    identical = torch.full((4, 24, 5), 0.3)
    assert soft(NETWORK, as_maps(identical), make_batch())["classes"] < 1e-9
    with pytest.raises(InvalidInputError, match="unknown margins 'firm'"):
        ClassAwareConfig(margins="firm")


SURFACE = np.random.default_rng(0).random((60, 3))
WIDE = 20.0  # a margin that nothing reaches: where hinges begin, there is no slope
NEW = {
    "contrastive": lambda: ContrastiveObjective(ContrastiveConfig(margin=WIDE)),
    "distribution": lambda: DistributionObjective(DistributionConfig(temperature=2.0)),
    "hard": lambda: ClassAwareObjective(ClassAwareConfig(margin=WIDE, class_margin=WIDE)),
    "optimal": lambda: OptimalObjective(OptimalConfig(), SURFACE, 5),
    "guided": lambda: GuidedObjective(GuidedConfig(temperature=0.5), 5, steps=100).eval(),
}


@pytest.mark.parametrize("name", NEW)
def test_gradients_agree_with_finite_differences(name):
    objective, batch = NEW[name](), make_batch()
    features = torch.randn(4, 5, *GRID, requires_grad=True)
    objective(NETWORK, features, batch)["loss"].backward()
    for seed in range(3):
        direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            ahead, behind = (
                objective(NETWORK, features + step * direction, batch)["loss"].item()
                for step in (5e-3, -5e-3)
            )
        slope = (features.grad * direction).sum().item()
        assert slope == pytest.approx((ahead - behind) / 1e-2, rel=0.02, abs=0.01)
