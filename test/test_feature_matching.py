"""Matching among the features themselves, against brute force and what is known of smooth maps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_scene import fourier
from scipy.ndimage import maximum_filter

from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.feature_matching import find_everywhere, find_near

STRIDE = 8
METRICS = ("cosine", "l2")


def random_map(h, w, metric="cosine", seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(h, w, 6, generator=generator, dtype=torch.float64)
    return DescriptorMap(features, STRIDE, h * STRIDE, w * STRIDE, metric)


def plane_map(metric, h=15, w=20):
    """Descriptors that change evenly over the image, alike within about two features."""
    v, u = np.mgrid[:h, :w] * 0.008
    features = torch.from_numpy(fourier(np.stack([u, v, 0 * u], axis=-1)))
    return DescriptorMap(features, STRIDE, h * STRIDE, w * STRIDE, metric)


def seen_at(pixels):
    """The descriptors of pixels (K, 2) of `plane_map`, exact between the features too."""
    u, v = ((np.asarray(pixels, dtype=float) + 0.5) / STRIDE - 0.5).T * 0.008
    return torch.from_numpy(fourier(np.stack([u, v, 0 * u], axis=-1)))


def everywhere(descriptors, wanted, count=1):
    return find_everywhere(descriptors.feature_similarity(wanted), count, STRIDE)


def near(descriptors, wanted, pixels, radius):
    similarity = descriptors.feature_similarity(wanted)
    return find_near(similarity, torch.arange(len(wanted)), pixels, radius, STRIDE)


@pytest.mark.parametrize("metric", METRICS)
@given(h=st.integers(2, 9), w=st.integers(2, 9), count=st.integers(1, 6), seed=st.integers(0, 999))
def test_peaks_are_the_greatest_local_maxima_and_lie_within_half_a_feature(
    metric, h, w, count, seed
):
    descriptors = random_map(h, w, metric, seed)
    wanted = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)).double()
    similarity = descriptors.feature_similarity(wanted).numpy()
    peaks = everywhere(descriptors, wanted, count)
    # A single one is the greatest of all, which is a local maximum too.
    assert peaks.pixels.shape == (3, min(count, h * w), 2)
    for values, pixels, scores in zip(similarity, peaks.pixels, peaks.scores, strict=True):
        maxima = np.sort(values[values == maximum_filter(values, 3, mode="nearest")])[::-1]
        there = np.isfinite(scores.numpy())
        assert there.sum() == min(count, len(maxima))
        np.testing.assert_array_equal(scores[there], maxima[: there.sum()])
        places = np.array([np.argwhere(values == score)[0] for score in scores[there].numpy()])
        at = (places[:, ::-1] + 0.5) * STRIDE - 0.5
        assert np.abs(pixels[there].numpy() - at).max() <= STRIDE / 2
        assert pixels.isfinite().all()


@given(seed=st.integers(0, 1000))
def test_feature_similarity_is_that_of_the_features(seed):
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.randn(4, 6, generator=generator).double()
    cosine, l2 = (random_map(5, 7, metric, seed) for metric in METRICS)
    features, each = cosine.features[None], wanted[:, None, None]
    torch.testing.assert_close(
        cosine.feature_similarity(wanted),
        torch.nn.functional.cosine_similarity(features, each, dim=-1),
    )
    expected = (-torch.cdist(wanted, l2.features.flatten(0, 1)).square()).exp()
    torch.testing.assert_close(l2.feature_similarity(wanted).flatten(1), expected)


@pytest.fixture(params=["none", "ieee", "tf32"])
def products(request):
    """How PyTorch multiplies matrices, as a program may have set it."""
    products = torch.backends.mkldnn.matmul
    before, products.fp32_precision = products.fp32_precision, request.param
    yield products
    products.fp32_precision = before


def test_feature_similarity_is_quick_and_other_products_are_as_exact_as_before(products):
    before = products.fp32_precision
    exact, wanted = random_map(60, 80), torch.randn(100, 6)
    quick = DescriptorMap(exact.features.float(), STRIDE, 60 * STRIDE, 80 * STRIDE)
    expected = exact.feature_similarity(wanted.double())
    found = quick.feature_similarity(wanted).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=2**-7)  # two factors in bfloat16
    assert products.fp32_precision == before


@given(
    top=st.floats(0.2, 1),
    u=st.floats(2.5, 6.5),
    v=st.floats(2.5, 4.5),
    a=st.floats(0.01, 0.2),
    b=st.floats(0.01, 0.2),
)
def test_the_top_of_a_parabola_is_found_exactly(top, u, v, a, b):
    rows, columns = np.mgrid[:8, :10]
    values = torch.from_numpy(top - a * (columns - u) ** 2 - b * (rows - v) ** 2)
    peaks = find_everywhere(values[None], 1, STRIDE)
    expected = (np.array([u, v]) + 0.5) * STRIDE - 0.5
    np.testing.assert_allclose(peaks.pixels[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("way", ["everywhere", "near"])
def test_places_between_features_are_found_much_better_than_the_features_centres(metric, way):
    pixels = np.random.default_rng(0).uniform([12, 12], [147, 107], (300, 2))
    descriptors, wanted = plane_map(metric), seen_at(pixels)
    if way == "everywhere":
        found = everywhere(descriptors, wanted).pixels[:, 0].numpy()
    else:
        off = np.random.default_rng(1).uniform(-STRIDE, STRIDE, pixels.shape)
        found = near(descriptors, wanted, torch.from_numpy(pixels + off), 2).pixels.numpy()
    centres = (np.rint((pixels + 0.5) / STRIDE - 0.5) + 0.5) * STRIDE - 0.5
    error, of_centres = (np.linalg.norm(x - pixels, axis=1) for x in (found, centres))
    assert np.median(error) < np.median(of_centres) / 2.5
    assert error.max() < of_centres.max()


@pytest.mark.parametrize("side", range(4))
def test_at_the_border_places_are_no_worse_than_the_features_centres(side):
    """A neighbour that is missing says nothing of where between the features the maximum is."""
    along = np.linspace(20, 100, 200)
    across = np.random.default_rng(0).uniform(-0.5, 7.5, 200)
    pixels = np.stack([along, across] if side % 2 else [across, along], axis=1)
    if side > 1:
        pixels = [159.0, 119.0] - pixels
    found = everywhere(plane_map("cosine"), seen_at(pixels)).pixels[:, 0].numpy()
    centres = (np.rint((pixels + 0.5) / STRIDE - 0.5).clip(0, [19, 14]) + 0.5) * STRIDE - 0.5
    error = np.abs(found - pixels)[:, side % 2]
    of_centres = np.abs(centres - pixels)[:, side % 2]
    assert error.mean() < 1.05 * of_centres.mean()


@pytest.mark.parametrize("metric", METRICS)
@given(
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    radius=st.integers(1, 3),
    u=st.integers(-100, 300).map(lambda x: x / 3) | st.sampled_from([-1e6, 1e6]),
    v=st.integers(-100, 300).map(lambda x: x / 3) | st.sampled_from([-1e6, 1e6]),
    seed=st.integers(0, 1000),
)
def test_near_a_pixel_is_the_weighted_mean_of_the_window_moved_onto_the_image(
    metric, h, w, radius, u, v, seed
):
    descriptors = random_map(h, w, metric, seed)
    h, w = descriptors.features.shape[:2]
    wanted = torch.randn(1, 6, generator=torch.Generator().manual_seed(seed)).double()
    found = near(descriptors, wanted, torch.tensor([[u, v]]).double(), radius)
    similarity = descriptors.feature_similarity(wanted)[0].numpy()
    ranges = []
    for at, size in ((v, h), (u, w)):
        first = round((at + 0.5) / STRIDE - 0.5) - radius
        first = min(max(first, 0), max(size - 2 * radius - 1, 0))
        ranges.append(np.arange(first, min(first + 2 * radius + 1, size)))
    window = similarity[np.ix_(*ranges)]
    softness = np.clip(0.16 * (window.max() - window.mean()), 1e-6, 0.05)
    weights = np.exp((window - window.max()) / softness)
    weights /= weights.sum()
    rows, columns = ((r + 0.5) * STRIDE - 0.5 for r in ranges)
    expected = [weights.sum(axis=0) @ columns, weights.sum(axis=1) @ rows]
    np.testing.assert_allclose(found.pixels[0], expected, atol=1e-4)
    assert float(found.scores) == pytest.approx(window.max(), abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_features_left_out_are_like_nothing(metric):
    """Neither they nor pixels among them are found, however alike; what is far stays as it was."""
    descriptors = plane_map(metric)
    out = torch.zeros(15, 20, dtype=torch.bool)
    out[4:10, 5:12] = True
    wanted = seen_at([(60, 50), (70, 60), (130, 100)])
    rest = descriptors.without(out)
    inside = rest.similarity(wanted)[:2, 36:76, 44:92]  # between the centres of those left out
    ordinary = descriptors.similarity(wanted)[:2, :20].max()
    assert inside.max() <= max(ordinary, 0.2)
    for found in (rest.match(wanted), everywhere(rest, wanted)):
        pixels = found.pixels.reshape(3, 2)
        u, v = pixels[:2].T
        assert ((u < 44) | (u > 91) | (v < 36) | (v > 75)).all()
        np.testing.assert_allclose(pixels[2], [130, 100], atol=2)
    torch.testing.assert_close(
        rest.similarity(wanted)[:, 90:], descriptors.similarity(wanted)[:, 90:]
    )
    assert descriptors.match(wanted).scores.min() > 0.9  # and the map itself is whole


def test_references_of_another_length_are_refused():
    with pytest.raises(InvalidInputError, match=r"must be \(K, 6\)"):
        random_map(6, 8).feature_similarity(torch.zeros(1, 5))


def test_a_map_may_be_looked_at_near_several_pixels():
    descriptors, wanted = plane_map("cosine"), seen_at([(30, 40), (100, 80)])
    pixels = torch.tensor([(98.0, 79.0), (28.0, 42.0), (35.0, 36.0)])
    similarity = descriptors.feature_similarity(wanted)
    found = find_near(similarity, torch.tensor([1, 0, 0]), pixels, 2, STRIDE)
    alone = near(descriptors, wanted[[1, 0, 0]], pixels, 2)
    torch.testing.assert_close(found, alone)
    assert found.scores.min() > 0.9
