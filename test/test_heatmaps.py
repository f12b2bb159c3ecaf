"""Heat maps: on the reference's own scale, at full resolution, over the picture."""

from pathlib import Path

import numpy as np
import pytest
from known_scene import look, pose
from local_scene import HEIGHT, WIDTH, local_model, moved, scene

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.grasping.settings import PipelineSettings
from dense_desc_ros.heatmaps import draw_heatmaps, heat_of
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

CLICK, OTHER = (121, 90), (150, 110)
HERE, ON_STONE = pose(0.01, -0.01, 0.4, (0.3, 0.2, 0.1)), (165, 108)


@pytest.fixture(scope="module")
def model() -> DescriptorModel:
    return local_model()


@pytest.fixture
def pipeline(model: DescriptorModel, tmp_path: Path) -> GraspPipeline:
    settings = PipelineSettings("straight", min_score=-1.0)
    pipeline = GraspPipeline(model, ReferenceStore(tmp_path, model.fingerprint), settings)
    pipeline.register(scene(), "spot", CLICK)
    return pipeline


@pytest.fixture
def stones(tiny_model: DescriptorModel, tmp_path: Path) -> GraspPipeline:
    """With a point on a stone, whose descriptors are like those near it and like no others."""
    seen = look([HERE])
    stones = GraspPipeline(tiny_model, ReferenceStore(tmp_path, tiny_model.fingerprint))
    stones.register(seen.frame, "stone", ON_STONE, descriptors=seen.descriptors)
    return stones


def test_the_point_itself_is_the_hottest_of_its_own_picture(stones: GraspPipeline) -> None:
    seen = look([HERE])
    heat = heat_of(stones.store.get("stone"), seen.descriptors)
    u, v = ON_STONE
    assert heat.shape == seen.frame.depth.shape
    assert heat[v, u] == pytest.approx(1, abs=1e-4) == heat.max()
    assert heat[seen.mask < 0].max() < 0.1  # the rest of its picture
    assert 0.001 < np.mean(heat > 0.5) < 0.05


@pytest.mark.parametrize("shift", [(0, 0), (12, -8), (9, 5)])
def test_heat_is_the_score_of_a_straight_grasp_and_greatest_there(
    pipeline: GraspPipeline, shift: tuple[int, int]
) -> None:
    result = pipeline.process(scene(*shift))
    (grasp,) = result.grasps
    u, v = grasp.pixel.astype(int)
    heat = heat_of(pipeline.store.get("spot"), result.descriptors)
    assert heat[v, u] == pytest.approx(grasp.score, abs=1e-4) == heat.max()
    assert np.linalg.norm(grasp.pixel - moved(CLICK, *shift)) < 4


def test_the_scale_is_not_that_of_the_picture(stones: GraspPipeline) -> None:
    """In a picture without it nothing is hot, and the colours say so."""
    stone = stones.store.get("stone")
    bluest = []
    for view in (look([HERE]), look([], seed=1)):
        picture = draw_heatmaps(stones.find(view.frame, view.descriptors), [stone])
        inside = picture[24:-24].astype(int)  # between title and legend
        bluest.append((inside[..., 2] >= inside[..., 0]).all())
    assert bluest == [False, True]


def test_any_number_of_references_is_drawn_side_by_side(pipeline: GraspPipeline) -> None:
    result = pipeline.process(scene())
    spot = pipeline.store.get("spot")
    pipeline.register(scene(), "spot", OTHER, append=True)
    both = pipeline.store.get("spot")
    image = result.frame.image.copy()
    for count, rows, columns in ((0, 1, 1), (1, 1, 1), (2, 1, 2), (3, 2, 2), (9, 2, 2)):
        picture = draw_heatmaps(result, [spot, both, *[spot] * 9][:count])
        assert picture.shape == (rows * HEIGHT, columns * WIDTH, 3) and picture.dtype == np.uint8
    assert np.array_equal(result.frame.image, image)
    heat = heat_of(both, result.descriptors)  # each registered view is hot
    assert heat[CLICK[1], CLICK[0]] > 0.9 and heat[OTHER[1], OTHER[0]] > 0.9
