"""Backgrounds that are drawn for trainings."""

import numpy as np
import torch

from dense_desc_ros.data.dead_leaves import draw_leaves

SIZE = (95, 130)


def drawn(count, seed, size=SIZE):
    return draw_leaves(count, size, torch.Generator().manual_seed(seed))


def test_pictures_are_of_the_size_asked_for_and_the_same_for_the_same_seed():
    pictures = drawn(3, seed=0)
    assert pictures.shape == (3, 3, *SIZE)
    assert pictures.min() >= 0 and pictures.max() <= 255
    assert torch.equal(pictures, drawn(3, seed=0))
    others = torch.cat([pictures[1:], drawn(1, seed=1)])
    assert (pictures - others).abs().mean(dim=(1, 2, 3)).min() > 10


def test_their_power_falls_with_frequency_about_as_that_of_photographs():
    """Of forty photographs it fell with the power 2.85, measured in the same way."""
    grey = drawn(40, seed=2, size=(128, 128)).mean(dim=1).numpy()
    window = np.hanning(128)[:, None] * np.hanning(128)
    centred = grey - grey.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred * window)) ** 2).mean(axis=0)
    v, u = np.meshgrid(*[np.fft.fftfreq(128) * 128] * 2, indexing="ij")
    radius = np.hypot(u, v).round().astype(int)
    along = np.arange(3, 33)
    means = [power[radius == r].mean() for r in along]
    assert -3.6 < np.polyfit(np.log(along), np.log(means), 1)[0] < -2.4
