"""The benchmark of grasps: its truth is true, its scenes are what they say, its figures right."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import dense_desc
from scipy.spatial.transform import Rotation

from dense_desc_ros.camera import PinholeCamera
from dense_desc_ros.data.canonical import blend, closest
from dense_desc_ros.data.objects import make_object
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.benchmark_grasp import Picture, Shown, register_points
from dense_desc_ros.evaluation.grasp_figures import (
    ABSENT,
    MAIN,
    GraspBenchmark,
    Sighting,
    Truth,
    figures,
    summarize,
)
from dense_desc_ros.evaluation.grasp_scenes import SceneMaker, point_pixels
from dense_desc_ros.evaluation.grasp_truth import is_expected, transfer_pose, true_pose
from dense_desc_ros.gripper_drawing import draw_gripper
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore


def pose(position, rotation_vector=(0, 0, 0)):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(rotation_vector).as_matrix(), position
    return T


def into_surface(mesh, face):
    """A pose at the middle of a face, z into it."""
    a, b, c = mesh.vertices[mesh.faces[face]]
    z = -np.cross(b - a, c - a)
    x = b - a
    T = np.eye(4)
    T[:3, 3] = (a + b + c) / 3
    z, x = z / np.linalg.norm(z), x / np.linalg.norm(x)
    T[:3, :3] = np.column_stack([x, np.cross(z, x), z])
    return T


@pytest.fixture(scope="module")
def caps():
    return [make_object("caps", number) for number in (100, 101)]


def test_poses_on_a_moved_and_scaled_copy_are_exact(caps):
    cap, motion, scale = caps[0], pose((0.3, -0.1, 0.2), (0.4, -1.2, 2.0)), 1.2
    moved = scale * cap.vertices @ motion[:3, :3].T + motion[:3, 3]
    copy = replace(cap, vertices=moved)
    for face in np.random.default_rng(0).integers(len(cap.faces), size=30):
        there = into_surface(cap, face)
        expected = motion @ there
        expected[:3, 3] = scale * motion[:3, :3] @ there[:3, 3] + motion[:3, 3]
        np.testing.assert_allclose(transfer_pose(cap, copy, there), expected, atol=2e-4)


def test_poses_on_another_instance_are_at_the_same_place_of_it(caps):
    source, target = caps
    middles = target.vertices[target.faces].mean(axis=1)
    outer = target.canonical[target.faces].mean(axis=1)
    checked = 0
    for face in np.random.default_rng(1).integers(len(source.faces), size=40):
        there = into_surface(source, face)
        moved = transfer_pose(source, target, there)
        if moved is None:
            continue
        gaps = np.linalg.norm(outer - source.canonical[source.faces[face]].mean(axis=0), axis=1)
        same = target.faces[gaps.argmin()]
        assert np.linalg.norm(middles[gaps.argmin()] - moved[:3, 3]) < 0.012
        normal = target.normals[same].mean(axis=0)
        assert normal @ moved[:3, 2] < 0  # not turned inside out
        checked += 1
    assert checked > 25
    elsewhere = replace(target, canonical=target.canonical + np.float32(3))
    assert transfer_pose(source, elsewhere, into_surface(source, 0)) is None
    with pytest.raises(InvalidInputError, match="canonical"):
        transfer_pose(source, replace(target, canonical=None), into_surface(source, 0))


@pytest.fixture(scope="module")
def maker(caps):
    with SceneMaker(np.random.default_rng(0), [caps[0], caps[0], caps[0], caps[1]], []) as maker:
        yield maker


def test_scenes_are_the_same_for_the_same_seed_and_their_objects_lie_apart(maker):
    scene, again = (maker.cluttered(np.random.default_rng(2), range(3)) for _ in range(2))
    np.testing.assert_array_equal(scene.frame.image, again.frame.image)
    np.testing.assert_array_equal(scene.frame.depth, again.frame.depth)
    assert np.sum([instance.mask for instance in scene.instances], axis=0).max() == 1
    places = [instance.T_camera_object[:3, 3] for instance in scene.instances]
    assert min(np.linalg.norm(places[i] - places[i - 1]) for i in range(3)) > 0.15
    measured = np.isfinite(scene.frame.depth)
    assert 0.7 < measured.mean() < 1  # holes
    errors = np.abs(scene.frame.depth - scene.depth)[measured]
    assert 2e-4 < np.median(errors) < 5e-3
    assert maker.cluttered(np.random.default_rng(2), []).instances == ()


def test_true_points_are_visible_where_they_are_expected(maker):
    rng = np.random.default_rng(1)
    reference = maker.alone(rng)
    (registered,) = reference.instances
    assert registered.share > 0.98
    errors, hidden = [], 0
    for objects in ([0, 1], [1, 2], [3, 0]):
        scene = maker.cluttered(rng, objects)
        for pixel in point_pixels(rng, registered, 40):
            u, v = pixel.astype(int)
            assert registered.mask[v, u]
            point = reference.frame.camera.back_project(pixel, reference.depth[v, u])
            inward = Rotation.align_vectors(point[None], [(0, 0, 1)])[0].as_rotvec()
            T_camera_point = pose(point, inward)
            for instance in scene.instances:
                truth = true_pose(registered, instance, T_camera_point)
                if truth is None or not is_expected(scene, instance, truth):
                    hidden += 1
                    continue
                assert instance.share >= 0.5
                u, v = np.rint(scene.frame.camera.project(truth[:3, 3])).astype(int)
                errors.append(abs(scene.depth[v, u] - truth[2, 3]))
                behind = truth.copy()
                behind[:3, 3] *= 1 + 0.021 / truth[2, 3]  # seen at the same pixel
                assert not is_expected(scene, instance, behind)
                assert not is_expected(scene, instance, truth @ pose((0, 0, 0), (np.pi, 0, 0)))
    assert len(errors) > 20 and hidden > 5
    assert np.median(errors) < 1e-3  # though 10 mm would do


def test_points_are_registered_in_every_picture_that_shows_them(maker, tmp_path):
    """What is added lies on the cap, whatever was seen where."""
    model = DescriptorModel.load(Path(__file__).parent.parent / "models/caps.safetensors", "cpu")
    pipeline = GraspPipeline(model, ReferenceStore(tmp_path, model.fingerprint))
    rng = np.random.default_rng(3)
    alone = [maker.alone(rng) for _ in range(5)]
    shown = [Shown(scene, model.describe(scene.frame.image)) for scene in alone]
    picture = Picture(MAIN, shown, alone[0])
    first, *others = (each.instance for each in shown)
    more = 0
    for name, T_camera_point in register_points(pipeline, rng, picture, 3).items():
        seen = 1 + sum(
            is_expected(scene, other, true_pose(first, other, T_camera_point))
            for scene, other in zip(alone[1:], others, strict=True)
        )
        reference = pipeline.store.get(name)
        assert len(reference.descriptors) == seen
        more += len(reference.support.views.unique()) - 1
        T_object_point = np.linalg.inv(first.T_camera_object) @ T_camera_point
        points = reference.support.points_array @ T_object_point[:3, :3].T + T_object_point[:3, 3]
        mesh = first.mesh
        nearest, shares = closest(mesh.vertices, mesh.faces, points)
        gaps = np.linalg.norm(blend(mesh.vertices[nearest], shares) - points, axis=1)
        assert np.median(gaps) < 0.005 and np.quantile(gaps, 0.9) < 0.015
    assert more >= 2


TRUE = np.array([pose((0, 0, 0.6), (0.3, 0, 0)), pose((0.2, 0, 0.7), (0, 0.4, 1))])


def sighting(grasps, truths=TRUE, expected=(True, True), score=0.5):
    grasps = np.reshape(grasps, (-1, 4, 4))
    refused = "" if len(grasps) else "few inliers"
    return Sighting(Truth(truths, np.array(expected, bool)), grasps, score, refused)


def test_figures_of_perfect_grasps():
    values = figures([sighting(TRUE), sighting(TRUE[1:], expected=(False, True))])
    assert values["position_mm_median"] == 0 and values["orientation_deg_median"] < 1e-4
    assert values["found_rate"] == 1 and values["wrong_rate"] == 0


def test_figures_of_grasps_beside_their_place():
    beside = TRUE[:1] @ pose((0.05, 0, 0), (0, 0, np.pi / 6))
    near = TRUE[1:] @ pose((0, 0.004, 0), (0, 0, np.pi / 18))
    values = figures([sighting(beside), sighting(near), sighting([*near, *near])])
    assert values["position_mm_median"] == pytest.approx(4)
    assert values["orientation_deg_median"] == pytest.approx(10)
    assert values["found_rate"] == pytest.approx(2 / 6)
    assert values["wrong_rate"] == pytest.approx(1 / 4)
    nowhere = figures([sighting(near, truths=np.empty((0, 4, 4)), expected=())])
    assert nowhere["wrong_rate"] == 1 and nowhere["position_mm_median"] is None
    assert set(figures([]).values()) == {None}


def test_summary_tells_presence_from_absence():
    benchmark = GraspBenchmark(2, seconds=[0.01, 0.03, 0.02])
    hidden = sighting([], expected=(False, False), score=0.0)
    for method in ("auto", "registered"):
        benchmark.sightings[MAIN, method] = [sighting(TRUE[:1], score=0.9), hidden]
    nothing = np.empty((0, 4, 4))
    benchmark.sightings[ABSENT, "auto"] = [
        sighting(grasps, nothing, (), score) for grasps, score in ((TRUE[:1], 0.4), ([], 0.1))
    ]
    result = summarize(benchmark)
    assert result["absent"] == {"scenes": 2, "published_rate": 0.5, "auroc": 1.0}
    assert result["found_rate"] == 0.5 and result["ms_per_reference"] == pytest.approx(20)
    (row,) = result["methods"]
    assert row["refused"] == {"few inliers": 1} and row["expected"] == 2 and row["grasps"] == 1


def test_a_gripper_is_drawn_where_it_is():
    camera, green = PinholeCamera(300.0, 300.0, 159.5, 119.5, 320, 240), (0, 255, 0)
    image = np.zeros((240, 320, 3), np.uint8)
    draw_gripper(image, camera, pose((0, 0, 0.5)), 0.08, green)
    drawn = np.argwhere((image == green).all(axis=2))
    # Tips are 4 cm above and below the middle at 0.5 m; farther back they look wider apart.
    assert drawn[:, 0].min() == pytest.approx(119.5 - 0.04 / 0.46 * 300, abs=2)
    assert drawn[:, 0].max() == pytest.approx(119.5 + 0.04 / 0.46 * 300, abs=2)
    assert np.abs(drawn[:, 1] - 159.5).max() < 2
    image[:] = 0
    draw_gripper(image, camera, pose((0, 0, -0.5)), 0.08, green)
    assert not image.any()
    draw_gripper(image, camera, pose((0, 0, 0.03)), 0.01, green)  # partly behind
    assert image.any()


def test_the_command_prints_what_others_rely_on(tmp_path, tiny_model):
    tiny_model.save(tmp_path / "weights.safetensors")
    arguments = ["--weights", tmp_path / "weights.safetensors", "--scenes", "1", "--json"]
    done = dense_desc("benchmark", "grasp", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    four = {"position_mm_median", "orientation_deg_median", "found_rate", "wrong_rate"}
    assert four | {"methods", "absent", "ms_per_reference", "timings"} == result.keys()
    rows = {(row["objects"], row["instances"], row["method"]) for row in result["methods"]}
    methods = ("registered", "straight")  # no keypoints, so none aligned
    assert rows == {(o, n, m) for o in ("seen", "unseen") for n in (1, 3, 5) for m in methods}
    assert all(four | {"scenes", "grasps", "refused"} <= row.keys() for row in result["methods"])
    assert result["timings"]["share_16"] > 0 and 0 <= result["absent"]["published_rate"] <= 1
    table = (tmp_path / "out" / "table.txt").read_text().splitlines()
    assert len(table) == 1 + len(rows)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == result
