"""The figures of a replay: errors, spread, stillness; and what a replay is told in files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_scene import CAMERA, scene

from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.evaluation.replay.figures import ReferenceFigures
from dense_desc_ros.evaluation.replay.inputs import (
    Click,
    parse_click,
    parse_limit,
    read_clicks,
    read_truth,
)
from dense_desc_ros.evaluation.replay.stillness import StillScenes
from dense_desc_ros.grasping.grasp import Grasp, PointPose, Refusal


def grasp_at(*point: float) -> Grasp:
    pose = np.eye(4)
    pose[:3, 3] = point
    found = PointPose(pose, CAMERA.project(point), "straight", 0.9, 1, 0.0, 0.0)
    return Grasp("here", found, pose, np.nan)


def test_spread_and_jumps_are_those_of_still_scenes() -> None:
    """Two scenes of points 3 and 4 mm about their median; what lies between them is no spread."""
    figures = ReferenceFigures("here")
    for scene_number, millimetres in ((0, (0, 3, -3)), (1, (504, 500, 496)), (2, (900,))):
        for x in millimetres:
            figures.add(grasp_at(x / 1000, 0, 1), scene_number)
    figures.add(Refusal("here", 0.1, "score 0.10 is below min_score 0.40"), 2)
    figures.add(Refusal("here", 0.2, "score 0.20 is below min_score 0.40"), 2)
    result = figures.summarize()
    assert result["position_spread_mm"] == pytest.approx(np.sqrt((2 * 9 + 2 * 16) / 6))
    assert (result["still_frames"], result["jumps"]) == (6, 0)
    assert result["found_rate"] == pytest.approx(7 / 9)
    assert result["refusals"] == {"score … is below min_score …": 2}
    for x in (0, 0.1, 0):
        figures.add(grasp_at(x, 0, 1), 3)
    assert figures.summarize()["jumps"] == 2


def test_errors_against_the_truth_in_pixels_and_millimetres() -> None:
    """Three pixels beside the truth, which is 1 cm; once nothing was found, once nothing is."""
    frame = scene()  # 0.8 m away, 240 px focal length
    figures = ReferenceFigures("here")
    place = CAMERA.back_project((103.0, 80.0), 0.8)
    refusal = Refusal("here", 0.1, "no")
    for answer, truth in (
        (grasp_at(*place), (100.0, 80.0)),
        (refusal, (100.0, 80.0)),
        (refusal, None),
    ):
        figures.add(answer, 0)
        figures.compare(answer, truth, frame, 0)
    result = figures.summarize()
    assert result["median_px"] == pytest.approx(3) and result["median_mm"] == pytest.approx(10)
    assert (result["visible"], result["hidden"], result["hidden_refused"]) == (2, 1, 1)
    # Of 640x480 pixels these three are 7.5: half of the matches are right from 8 on, and no more.
    assert result["pck"] == [0.0] * 7 + [0.5] * 93
    assert result["auc"] == pytest.approx(0.465)


def test_when_a_scene_is_still() -> None:
    scenes, rng = StillScenes(), np.random.default_rng(0)
    picture = scene().image

    def seen(image: Any, recording: int = 0) -> int:
        noisy = np.clip(image + rng.normal(0, 3, image.shape), 0, 255)
        return scenes.add(noisy.astype(np.uint8), recording)

    assert [seen(picture) for _ in range(3)] == [0, 0, 0]
    with_object = picture.copy()
    with_object[60:76, 90:106] = 255 - with_object[60:76, 90:106]
    assert [seen(with_object), seen(with_object), seen(picture)] == [1, 1, 2]
    slowly = [seen(np.clip(picture.astype(float) + n, 0, 255)) for n in range(12)]
    assert slowly[0] == 2 and slowly[-1] > 2
    assert seen(picture, 1) > slowly[-1]


def test_inputs_that_are_none(tmp_path: Path) -> None:
    assert parse_click("a=3:1.5,20") == ("a", Click(3, (1.5, 20)))
    assert parse_limit("auc=0.9") == ("auc", 0.9)
    for text in ("a=3", "a=-1:2,3", "a=1:2", "a b=1:2,3", "=1:2,3"):
        with pytest.raises(InvalidInputError):
            parse_click(text)
    for text in ("found", "found=2", "found=nan", "score=0.5"):
        with pytest.raises(InvalidInputError, match="found=0.95"):
            parse_limit(text)
    file = tmp_path / "file.yaml"
    for read, content in (
        *((read_clicks, each) for each in ("[", "1", "a: {frame: 1}", "a: {frame: x, pixel: 1}")),
        *((read_truth, each) for each in ("a: 1", "a: {0: [1]}", "a: {x: null}", "a b: {0: null}")),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=str(file)):
            read(file)
