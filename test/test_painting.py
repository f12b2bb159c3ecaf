"""Painted objects: other colours, the same light, and nothing else of a picture."""

import numpy as np
import pytest
import torch
from posed_scene import Spheres

from dense_desc_ros.data import twin_augmentation
from dense_desc_ros.data.colours import ColourChange
from dense_desc_ros.data.dead_leaves import draw_leaves
from dense_desc_ros.data.painting import paint
from dense_desc_ros.data.twin_augmentation import TwinAugmentationConfig, augment
from dense_desc_ros.errors import InvalidInputError


def drawn(count, size, seed=0):
    return draw_leaves(count, size, torch.Generator().manual_seed(seed))


def test_paint_is_lit_as_the_object_was():
    """A grey object, from half to one and a half times as bright as it is on average."""
    light = torch.linspace(0.5, 1.5, 64).expand(48, 64)
    masks = torch.zeros(3, 48, 64, dtype=torch.bool)
    masks[:, 8:40] = True
    images = (100 * light).expand(3, 3, -1, -1).clone()
    images[:, :, :8] = 250.0  # brighter, but not of the object
    amounts = torch.tensor([1.0, 0.0, 0.25])
    painted = paint(images, masks, amounts, torch.Generator().manual_seed(0))
    expected = images.clone()
    for row, paints in zip((0, 2), drawn(2, (48, 64)), strict=True):
        lit = (paints * light).clamp(0, 255)
        mixed = (1 - amounts[row]) * images[row] + amounts[row] * lit
        expected[row, :, 8:40] = mixed[:, 8:40]
    torch.testing.assert_close(painted, expected, rtol=1e-3, atol=0.1)
    assert (images[:, :, :8] == 250).all(), "the pictures themselves are left as they are"


def test_black_objects_and_those_out_of_sight_are_painted_with_finite_colours():
    images, masks = torch.zeros(2, 3, 48, 64), torch.zeros(2, 48, 64, dtype=torch.bool)
    masks[0] = True
    painted = paint(images, masks, torch.ones(2), torch.Generator().manual_seed(0))
    assert torch.equal(painted, images)


def test_only_objects_of_views_are_painted_and_as_many_as_wanted(monkeypatch):
    same = ColourChange(np.eye(3, 4), 0.0, 0.0)
    monkeypatch.setattr(twin_augmentation, "draw_colour_change", lambda rng: same)
    shares = dict.fromkeys(("random_images", "noise", "masked"), 0.0)
    frame = Spheres(views=1)[0]
    painted, own = (TwinAugmentationConfig(**shares, painted=share) for share in (0.3, 0.0))
    count = 0
    for seed in range(100):
        a, b = (
            augment(frame, (96, 128), 0.5, config, [], np.random.default_rng(seed))
            for config in (painted, own)
        )
        np.testing.assert_array_equal(a.image[~a.mask], b.image[~b.mask])
        count += bool((a.image != b.image).any())
    assert 20 < count < 40
    with pytest.raises(InvalidInputError, match=r"painted 1.5 is not a share"):
        TwinAugmentationConfig(painted=1.5)
