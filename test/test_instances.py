"""Which of several poses of a reference is believed, and what speaks for each."""

import tracemalloc

import numpy as np
import pytest
import torch
from known_scene import DIM, difference, fourier, look, pose, with_a_likeness

from dense_desc_ros.grasping import registered
from dense_desc_ros.grasping.evidence import evidence
from dense_desc_ros.grasping.grasp import NotFound, PointPose
from dense_desc_ros.grasping.instances import best_poses
from dense_desc_ros.grasping.registered import find_registered
from dense_desc_ros.grasping.registration import MAX_VIEWS
from dense_desc_ros.grasping.support import POINTS
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore
from dense_desc_ros.references import Reference, Support

HERE = pose(0.01, -0.01, 0.4, (0.3, 0.2, 0.1))
SCALES = (1.0, 1.0)


@pytest.fixture(scope="module")
def registration(tiny_model, tmp_path_factory):
    store = ReferenceStore(tmp_path_factory.mktemp("references"), tiny_model.fingerprint)
    seen = look([HERE])
    pipeline = GraspPipeline(tiny_model, store)
    return pipeline.register(seen.frame, "stone", (165, 108), descriptors=seen.descriptors)


def pose_at(T, score):
    return PointPose(T, np.zeros(2), "registered", score, 20, 1.0, 0.001, 1.0)


def test_of_poses_on_one_object_the_best_is_kept(registration):
    turned = pose(0, 0, 0, (0, 0, 3.0))
    here, flipped = (pose_at(HERE @ T, score) for T, score in ((np.eye(4), 0.8), (turned, 0.6)))
    beside = pose_at(pose(0.2) @ HERE, 0.7)
    few, none = NotFound(0.1, "few inliers"), NotFound(0.3, "do not agree")
    some = [none, flipped, beside, here, few]
    for count, kept in ((1, [here]), (2, [here, beside]), (3, [here, beside])):
        assert best_poses(registration.reference, some, count) == kept
    assert best_poses(registration.reference, [few, none], 2) == [none]


def test_evidence_is_that_of_what_should_be_seen():
    of_view = np.array([[[1.0, 0], [1, 0], [2, 0], [0, 1], [0, 1]]])
    expected = np.array([[1, 0.25, 0, 1, 1]])
    similarity = np.array([[0.9, 0, 0, 0.5, 0]])
    # In the first view points of 1 and of a quarter count, but at least 0.4 of the 4 in all.
    assert evidence(of_view, expected, similarity) == pytest.approx((0.9**8 / 1.6) ** 0.5)
    # One that is seen counts, expected or not.
    similarity[0, 2] = 0.8
    assert evidence(of_view, expected, similarity) == pytest.approx(
        ((0.9**8 + 2 * 0.8**8) / (1 + 0.25 + 2)) ** 0.5
    )
    similarity[0, 3:] = 0.9, 0.8  # now the second view is more alike
    assert evidence(of_view, expected, similarity) == pytest.approx(((0.9**8 + 0.8**8) / 2) ** 0.5)


def test_a_likeness_that_is_found_first_does_not_win(registration, monkeypatch):
    T_object_point = np.linalg.inv(HERE) @ registration.T_camera_point
    truth = pose(-0.09, 0.0, 0.42, (0.2, 0.1, 0.8)) @ pose(rotvec=(0.3, 0.2, 0.1))
    likeness = pose(0.09, 0.02, 0.42, (0.1, 0.2, -0.3)) @ pose(rotvec=(0.3, 0.2, 0.1))
    view = with_a_likeness(truth, likeness)
    for sure, expected in ((0.0, likeness), (0.85, truth)):
        monkeypatch.setattr(registered, "SURE", sure)
        ((found,),) = find_registered(
            view.frame, view.descriptors, [registration.reference], 1, SCALES
        )
        assert difference(found.T_camera_point, expected @ T_object_point)[0] < 3


def test_several_instances_of_a_reference_of_many_views_take_little_memory():
    """All pairs of its points and of their places would take 400 MB."""
    points = np.random.default_rng(0).uniform(-0.06, 0.06, (MAX_VIEWS * POINTS, 3))
    support = Support(
        torch.from_numpy(fourier(points)).float(),
        torch.from_numpy(points).float(),
        torch.arange(MAX_VIEWS, dtype=torch.int32).repeat_interleave(POINTS),
    )
    reference = Reference("stone", torch.zeros(1, DIM), "", support=support)
    view = look([HERE])
    tracemalloc.start()
    ((found, *_),) = find_registered(view.frame, view.descriptors, [reference], 5, (0.7, 1.4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, PointPose) and peak < 50e6
