"""Frame in, grasps out: with a random network, which still finds a picture's shifted content."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dense_desc_ros.camera import PinholeCamera, RgbdFrame
from dense_desc_ros.errors import InvalidInputError, MissingDepthError, ReferenceStoreError
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.references import ReferenceStore

CAMERA = PinholeCamera(400.0, 400.0, 191.5, 143.5, 384, 288)
SHIFT = (32, 64)  # px; a whole stride, so that features move along unchanged


@pytest.fixture
def frames():
    """A tilted textured plane, and the same with its content moved by SHIFT."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (384, 288), interpolation=cv2.INTER_CUBIC)
    depth = np.repeat(np.linspace(0.7, 0.9, 288, dtype=np.float32)[:, None], 384, axis=1)
    moved = np.roll(picture, SHIFT[::-1], axis=(0, 1))
    return RgbdFrame(picture, depth, CAMERA), RgbdFrame(moved, depth, CAMERA)


@pytest.fixture
def pipeline(tiny_model, tmp_path):
    store = ReferenceStore(tmp_path, tiny_model.fingerprint)
    return GraspPipeline(tiny_model, store, PipelineSettings(min_score=0.9))


def test_a_registered_point_is_grasped_where_it_moved(pipeline, frames):
    taught = np.eye(4)
    taught[2, 3] = -0.01
    registration = pipeline.register(
        frames[0], "corner", (150, 130), T_point_grasp=taught, opening_width=0.06
    )
    np.testing.assert_allclose(CAMERA.project(registration.point), (150, 130), atol=1e-6)
    (grasp,) = pipeline.process(frames[1]).grasps
    assert np.linalg.norm(grasp.pixel - np.add((150, 130), SHIFT)) < 16
    assert grasp.score > 0.9 and grasp.opening_width == 0.06
    depth = frames[1].depth[int(grasp.pixel[1]), int(grasp.pixel[0])]
    np.testing.assert_allclose(grasp.point, CAMERA.back_project(grasp.pixel, depth), atol=2e-3)
    towards = grasp.T_camera_grasp[:3, 2]
    np.testing.assert_allclose(grasp.T_camera_grasp[:3, 3], grasp.point - 0.01 * towards, atol=1e-9)
    assert towards[2] > 0.5


def test_what_gives_no_grasp_gives_a_reason(pipeline, frames):
    pipeline.register(frames[0], "corner", (150, 130))
    noise = np.random.default_rng(5).integers(0, 256, (288, 384, 3), dtype=np.uint8)
    pipeline.settings = PipelineSettings(min_score=0.999)
    (refusal,) = pipeline.process(replace(frames[0], image=noise)).refusals
    assert "below min_score" in refusal.reason and refusal.score < 0.999
    blind = replace(frames[0], depth=np.full((288, 384), np.nan, np.float32))
    (refusal,) = pipeline.process(blind).refusals
    assert "no depth" in refusal.reason and refusal.score == pytest.approx(1, abs=1e-4)


def test_another_view_is_matched_too_and_names_select(pipeline, frames):
    pipeline.register(frames[0], "a", (150, 130))
    pipeline.register(frames[0], "a", (250, 100), append=True)
    pipeline.register(frames[0], "b", (90, 200))
    pipeline.settings = PipelineSettings(min_score=0.99, max_instances=2)
    result = pipeline.process(frames[0])
    pixels = {(g.name, *g.pixel.tolist()) for g in result.grasps}
    assert {("a", 150, 130), ("a", 250, 100), ("b", 90, 200)} <= pixels
    only = pipeline.find(frames[0], result.descriptors, ["b"])
    assert {g.name for g in only.grasps} == {"b"}
    with pytest.raises(ReferenceStoreError, match="unknown reference 'c'"):
        pipeline.find(frames[0], result.descriptors, ["c"])


def test_without_references_there_is_nothing_to_find(pipeline, frames):
    result = pipeline.process(frames[0])
    assert result.grasps == [] and result.refusals == []


def test_a_registration_that_cannot_be_is_refused_and_stores_nothing(pipeline, frames):
    frame = frames[0]
    blind = replace(frame, depth=np.full((288, 384), np.nan, np.float32))
    outside = np.zeros((288, 384), bool)
    outside[130, 160:] = outside[120:140, 152:] = True
    for error, arguments in (
        (InvalidInputError, (frame, "a/b", (10, 10))),
        (InvalidInputError, (frame, "a", (384, 10))),
        (MissingDepthError, (blind, "a", (10, 10))),
    ):
        with pytest.raises(error):
            pipeline.register(*arguments)
    with pytest.raises(InvalidInputError, match="outside the mask"):
        pipeline.register(frame, "a", (150, 130), mask=outside)
    with pytest.raises(InvalidInputError, match="mask has shape"):
        pipeline.register(frame, "a", (150, 130), mask=outside[:5])
    assert pipeline.store.names() == []


@pytest.mark.parametrize("bad", [{"min_score": 2}, {"max_instances": 0}, {"instance_radius": 0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(InvalidInputError):
        PipelineSettings(**bad)
