"""Evaluation of a model whose right answers are known: colours that tell every surface point."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from posed_scene import ColourNetwork, Spheres, look_at, sphere
from scipy.spatial.transform import Rotation

from dense_desc_ros.data.images import read_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.evaluate import NOTHING_SHARED, POINTS, evaluate, summarize
from dense_desc_ros.evaluation.keypoints import compare_keypoints, pose_error
from dense_desc_ros.evaluation.report import write_report

DIRECTIONS = [(0, -1, 0), (0.5, -1, 0.1), (-0.5, -1, 0.2), (0.1, -1, 0.5), (-0.2, -1, -0.4)]
FRONT = [(np.array(d) / np.linalg.norm(d) + 1) / 2 for d in DIRECTIONS]


@pytest.fixture(scope="module")
def colours():
    return DescriptorModel(ColourNetwork(FRONT), "l2", "cpu")


@pytest.fixture(scope="module")
def frames():
    return Spheres(absent=2)


@pytest.mark.parametrize("split", ["novel-view", "cross-instance", "clutter", "absent"])
def test_a_perfect_descriptor_is_told_to_be_one(colours, frames, split):
    figures = summarize(evaluate(colours, frames, split, seeds=(0, 1), pairs=3))
    assert figures["split"] == split and figures["seeds"] == [0, 1]
    assert figures["auc"] > 0.9 and figures["auc_cosine"] > 0.97
    assert figures["median_px"] < 8  # two pixels, in images a quarter of 640x480
    assert figures["auc_std"] == pytest.approx(np.std([s["auc"] for s in figures["per_seed"]]))
    assert len(figures["pck"]) == 100 and figures["auc"] == pytest.approx(np.mean(figures["pck"]))
    assert figures["pairs"] == 6 and figures["matches"] <= 6 * POINTS
    assert ("auroc" in figures) == (split == "absent")
    # Grey is nothing like the spheres' colours, but of some points the other view shows little.
    assert figures.get("auroc", 1) > 0.99
    assert figures["keypoint_repeatability"] > 0.6
    json.dumps(figures, allow_nan=False)


def test_a_network_that_knows_nothing_is_told_so(tiny_model, frames):
    figures = summarize(evaluate(tiny_model, frames, seeds=(0,), pairs=3))
    assert figures["auc"] < 0.8 and figures["auc_std"] == 0
    assert "keypoint_repeatability" not in figures


def test_a_seed_decides_pairs_and_points(colours, frames):
    first, again = (evaluate(colours, frames, seeds=(3, 4), pairs=2) for _ in range(2))
    for seed in (3, 4):
        for a, b in zip(first.pairs[seed], again.pairs[seed], strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels)
            np.testing.assert_array_equal(a.found, b.found)
    assert not np.array_equal(first.pairs[3][0].pixels, first.pairs[4][0].pixels)


def test_pairs_that_share_no_surface_are_counted(colours):
    frames = Spheres(radii=(0.1,), views=3)
    positions = [(0, -0.3, 0), (0.05, -0.3, 0), (0, 0.3, 0)]
    frames.frames = [sphere(0.1, look_at(np.array(position))) for position in positions]
    evaluation = evaluate(colours, frames, seeds=(0,), pairs=10)
    assert {(p.reference, p.target) for p in evaluation.pairs[0]} == {(0, 1), (1, 0)}
    assert evaluation.skipped == {"without depth": 1, NOTHING_SHARED: 4}
    frames.groups = {0: [0, 2]}
    with pytest.raises(DataError, match="shares visible surface"):
        evaluate(colours, frames, seeds=(0,), pairs=1)


def test_keypoints_count_as_visible_where_both_views_show_them():
    between, left = np.array([1, -1, 0]) / 2**0.5, np.array([-0.5, -(0.75**0.5), 0])
    model = DescriptorModel(ColourNetwork([(between + 1) / 2, (left + 1) / 2]), "l2", "cpu")
    front, right = (sphere(0.1, look_at(np.array(p))) for p in ((0, -0.3, 0), (0.3, 0, 0)))
    described = [(frame, model.describe(frame.image)) for frame in (front, right)]
    for canonical in (False, True):
        result = compare_keypoints(model, *described, canonical=canonical)
        assert (result.count, result.visible, result.repeated) == (2, 1, 1)
        assert result.rotation_deg is None  # two points are no pose


def test_views_that_agree_on_keypoints_give_their_relative_pose(colours):
    a, b = (sphere(0.1, look_at(np.array(p))) for p in ((0, -0.3, 0), (0.1, -0.3, 0)))
    described = [(frame, colours.describe(frame.image)) for frame in (a, b)]
    result = compare_keypoints(colours, *described, canonical=False)
    assert (result.count, result.visible, result.repeated) == (5, 5, 5)
    assert result.rotation_deg < 3 and result.translation_mm < 5


def test_the_pose_error_is_the_motion_that_was_put_in():
    frame = sphere(0.1, look_at(np.array([0.1, -0.3, 0.05])))
    pixels = np.array([[160.0, 120], [140, 100], [180, 150], [150, 136]])
    assert pose_error(frame, frame, pixels, pixels) == pytest.approx((0, 0), abs=1e-4)
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec([0, 0.06, 0.08]).as_matrix()
    motion[:3, 3] = 0.003, 0, 0.004
    moved = replace(frame, T_object_camera=motion @ frame.T_object_camera)
    rotation, translation = pose_error(moved, frame, pixels, pixels)
    assert rotation == pytest.approx(np.rad2deg(0.1), abs=1e-4)
    assert translation == pytest.approx(5, abs=1e-3)
    assert pose_error(frame, frame, pixels[:2], pixels[:2]) is None


@pytest.mark.parametrize("arguments", [{"seeds": ()}, {"pairs": 0}, {"split": "every"}])
def test_what_cannot_be_evaluated_is_refused(colours, frames, arguments):
    with pytest.raises(InvalidInputError):
        evaluate(colours, frames, **arguments)


class Sources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_the_report_opens_offline(colours, frames, tmp_path):
    evaluation = evaluate(colours, frames, seeds=(0,), pairs=6)
    figures = summarize(evaluation)
    write_report(tmp_path, evaluation, figures, frames)
    assert json.loads((tmp_path / "results.json").read_text()) == figures
    assert read_image(tmp_path / "pck.png").shape[2] == 3
    page = Sources()
    page.feed((tmp_path / "index.html").read_text())
    assert len(page.found) == 2 + 8
    assert all(source.startswith("data:image/") for source in page.found)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_report(tmp_path / "file", evaluation, figures, frames)
