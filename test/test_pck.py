"""PCK, its area, the published script's variant, AUROC; and the pairs of each split."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from posed_scene import Spheres
from scipy.spatial.distance import cosine
from scipy.stats import mannwhitneyu

from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.auroc import auroc
from dense_desc_ros.evaluation.pck import auc, cosine_pck, pck, pixel_errors
from dense_desc_ros.evaluation.splits import draw_pairs

errors = st.lists(st.floats(0, 200) | st.integers(0, 101).map(float), min_size=1, max_size=50)


@given(errors)
def test_pck_counts_what_is_within_k_pixels(values):
    curve = pck(values)
    expected = [np.mean([e <= k + 1e-9 for e in values]) for k in range(1, 101)]
    np.testing.assert_allclose(curve, expected)
    # The mean over k is the area: each error e, rounded up to a whole k, fails up to there.
    area = np.mean([np.clip(101 - max(np.ceil(e - 1e-9), 1), 0, 100) / 100 for e in values])
    assert auc(curve) == pytest.approx(area)


def test_errors_are_pixels_of_a_640x480_image():
    found, truth = np.array([[13.0, 24.0], [0, 0]]), np.array([[10.0, 20.0], [0, 0]])
    assert pixel_errors(found, truth, 480, 640).tolist() == [5, 0]
    assert pixel_errors(found, truth, 240, 320).tolist() == [10, 0]
    assert pixel_errors(found, truth, 480, 640).shape == (2,)


@given(st.integers(0, 1000))
def test_the_published_variant_is_that_of_cosines(seed):
    rng = np.random.default_rng(seed)
    found, truth = rng.integers(0, 480, (2, 20, 2)).astype(float) + 1
    truth[0] = found[0]
    similar = [1 - cosine(a, b) for a, b in zip(found, truth, strict=True)]
    expected = [np.mean([s >= k / 100 - 1e-9 for s in similar]) for k in range(1, 101)]
    np.testing.assert_allclose(cosine_pck(found, truth), expected)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=30),
    st.lists(st.integers(0, 20), min_size=1, max_size=30),
)
def test_auroc_is_that_of_mann_and_whitney(positive, negative):
    expected = mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
    assert auroc(np.array(positive), np.array(negative)) == pytest.approx(expected)


@pytest.mark.parametrize("split", ["novel-view", "cross-instance", "clutter", "absent"])
def test_pairs_are_what_their_split_says(split):
    frames = Spheres(radii=(0.08, 0.09, 0.1), views=4, absent=2)
    pairs = list(islice(draw_pairs(frames, split, np.random.default_rng(0)), 300))
    same = {frames[a].object_id == frames[b].object_id for a, b in pairs}
    assert same == {split != "cross-instance"}
    assert all(a != b for a, b in pairs)
    wanted = {i for i in range(12) if split != "clutter" or frames.visible_fraction[i] < 0.9}
    assert {b for _, b in pairs} == wanted
    assert {a for a, _ in pairs} == set(range(12))


@pytest.mark.parametrize(
    ("frames", "split", "reason"),
    [
        (Spheres(views=1), "novel-view", "no object at all is shown by two frames"),
        (Spheres(radii=(0.1,)), "cross-instance", "needs two objects"),
        (Spheres(views=1), "clutter", "less than 90% visible"),
        (Spheres(), "absent", "frames without the object"),
    ],
)
def test_a_data_set_without_such_pairs_is_told(frames, split, reason):
    with pytest.raises(DataError, match=reason):
        next(draw_pairs(frames, split, np.random.default_rng(0)))


def test_an_unknown_split_is_refused():
    with pytest.raises(InvalidInputError, match="unknown split 'all'"):
        draw_pairs(Spheres(), "all", np.random.default_rng(0))
