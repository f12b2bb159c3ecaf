"""Matching at feature resolution against the same thing done at full resolution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch.nn import functional

from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.matching import find_peaks


def random_map(h, w, d, stride, metric, cut=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(h, w, d, generator=generator, dtype=torch.float64)
    return DescriptorMap(features, stride, h * stride - cut, w * stride - cut, metric)


def upsampled(descriptors, features):
    full = functional.interpolate(
        features.permute(2, 0, 1)[None], scale_factor=descriptors.stride, mode="bilinear"
    )
    return full[0, :, : descriptors.height, : descriptors.width].permute(1, 2, 0)


@given(
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    d=st.integers(1, 9),
    stride=st.sampled_from([4, 8, 16, 32]),
    k=st.integers(1, 3),
    cut=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_similarity_is_that_of_upsampled_descriptors(h, w, d, stride, k, cut, seed):
    for metric in ("cosine", "l2"):
        descriptors = random_map(h, w, d, stride, metric, cut, seed)
        full = upsampled(descriptors, descriptors.features[:h, :w])
        references = torch.randn(k, d, dtype=torch.float64)
        if metric == "cosine":
            expected = functional.cosine_similarity(full[None], references[:, None, None], dim=-1)
        else:
            expected = (-(full[None] - references[:, None, None]).square().sum(-1)).exp()
        similarity = descriptors.similarity(references)
        torch.testing.assert_close(similarity, expected, atol=1e-7, rtol=1e-6)

        matches = descriptors.match(references)
        best = expected.flatten(1).amax(dim=1)
        u, v = matches.pixels.long().T
        torch.testing.assert_close(matches.scores, best, atol=1e-7, rtol=1e-6)
        at_match = expected[torch.arange(k), v, u]
        torch.testing.assert_close(at_match, best, atol=1e-7, rtol=1e-6)


@given(u=st.floats(-0.5, 63.4), v=st.floats(-0.5, 47.4), seed=st.integers(0, 100))
def test_sampling_between_pixels_agrees_with_scipy(u, v, seed):
    descriptors = random_map(6, 8, 3, 8, "cosine", seed=seed)
    at = [[(np.float32(v) + 0.5) / 8 - 0.5], [(np.float32(u) + 0.5) / 8 - 0.5]]
    expected = [
        map_coordinates(channel, at, order=1, mode="nearest")[0]
        for channel in descriptors.features.permute(2, 0, 1).numpy()
    ]
    np.testing.assert_allclose(descriptors.sample([(u, v)])[0], expected, atol=1e-4)


def test_a_descriptor_finds_its_own_pixel():
    descriptors = random_map(15, 20, 32, 8, "cosine")
    pixels = [(5, 4), (100, 50), (154, 113)]
    matches = descriptors.match(descriptors.sample(pixels))
    assert matches.pixels.tolist() == [list(map(float, p)) for p in pixels]
    assert matches.scores.tolist() == pytest.approx([1, 1, 1])


def test_peaks_are_the_local_maxima_apart_from_each_other():
    similarity = torch.zeros(2, 60, 80)
    similarity[0, 10, 10], similarity[0, 12, 13], similarity[0, 40, 60] = 0.9, 0.8, 0.7
    similarity[1, 30, 30] = 0.5
    first, second = find_peaks(similarity, count=2, radius=5)
    assert first.pixels.tolist() == [[10, 10], [60, 40]]
    assert first.scores.tolist() == pytest.approx([0.9, 0.7])
    assert second.pixels[0].tolist() == [30, 30]


def test_views_of_one_reference_count_together():
    descriptors = random_map(15, 20, 32, 8, "cosine")
    views = descriptors.sample([(20, 20), (120, 90), (60, 100)])
    both, alone = descriptors.match_instances(views, 2, 10, views_per_reference=(2, 1))
    assert sorted(both.pixels.tolist()) == [[20, 20], [120, 90]]
    assert alone.pixels[0].tolist() == [60, 100]


@pytest.mark.parametrize("pixel", [(-1, 5), (64, 5), (5, 48), (np.nan, 5), (np.inf, 0)])
def test_a_pixel_outside_the_image_is_refused(pixel):
    with pytest.raises(InvalidInputError, match="outside the 64x48 image"):
        random_map(6, 8, 4, 8, "cosine").sample([pixel])


def test_references_of_another_length_are_refused():
    with pytest.raises(InvalidInputError, match=r"must be \(K, 4\)"):
        random_map(6, 8, 4, 8, "cosine").match(torch.zeros(1, 5))
