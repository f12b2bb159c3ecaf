"""References held against the true poses of objects, from BOP scenes and from topics of the bag."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bag_scene import ROS2, Record, header, whole, write_ros2
from local_scene import CAMERA, DEPTH, local_model, scene
from replayed_scene import call
from scipy.spatial.transform import Rotation

from dense_desc_ros.data.bag_messages import BagMessages, interfaces_store
from dense_desc_ros.data.recordings import RecordedFrame
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.replay.object_poses import BopPoses, TopicPoses
from dense_desc_ros.grasp_messages import pose_message

STEP = 4  # px that the scene moves on in each frame
FRAME_COUNT, COVERED = 6, 3
LEFT, RIGHT = (90, 100), (180, 60)  # px, in frame 0; on two objects
WRONG_M, WRONG_DEG = 0.03, 10.0  # by which the truth of the right one is made to move
T_BASE_CAMERA = np.array([[1, 0, 0, 0.4], [0, -1, 0, 0.1], [0, 0, -1, 0.9], [0, 0, 0, 1.0]])


def pose_of(number: int, pixel: tuple[int, int], wrong: bool = False) -> np.ndarray:
    """T_camera_object of an object whose origin is the pixel of frame 0."""
    pose = np.eye(4)
    pose[:3, 3] = CAMERA.back_project((pixel[0] + STEP * number, pixel[1]), DEPTH)
    if wrong and number:
        pose[0, 3] += WRONG_M
        pose[:3, :3] = Rotation.from_euler("z", WRONG_DEG, degrees=True).as_matrix()
    return pose


@pytest.fixture(scope="module")
def frames() -> list[Any]:
    made = [
        replace(scene(STEP * n), stamp_ns=(n + 10) * 100_000_000, frame_id="optical")
        for n in range(FRAME_COUNT)
    ]
    hand = made[COVERED].depth.copy()
    hand[:, :150] = DEPTH - 0.2  # something before the left one; what it looks like is no matter
    made[COVERED] = replace(made[COVERED], depth=hand)
    return made


@pytest.fixture(scope="module")
def bop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with the two objects, each half of the picture."""
    folder = tmp_path_factory.mktemp("bop") / "train" / "000000"
    (folder / "mask_visib").mkdir(parents=True)
    cameras, truth = {}, {}
    for number in range(FRAME_COUNT):
        image = 3 * number  # numbers may leave some out
        cameras[image] = {"cam_K": CAMERA.matrix.ravel().tolist(), "depth_scale": 1.0}
        poses = pose_of(number, LEFT), pose_of(number, RIGHT, wrong=True)
        truth[image] = [
            {
                "obj_id": 7,
                "cam_R_m2c": pose[:3, :3].ravel().tolist(),
                "cam_t_m2c": (1000 * pose[:3, 3]).tolist(),
            }
            for pose in poses
        ]
        for index in range(2):
            mask = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
            mask[:, slice(140) if index == 0 else slice(140, None)] = 255
            cv2.imwrite(str(folder / "mask_visib" / f"{image:06d}_{index:06d}.png"), mask)
    (folder / "scene_camera.json").write_text(json.dumps(cameras))
    (folder / "scene_gt.json").write_text(json.dumps(truth))
    return folder


@pytest.fixture(scope="module")
def bag(frames: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frames, the left object's pose in the camera, and a cell's truth in its base."""
    folder = tmp_path_factory.mktemp("bag")
    ros, ours = BagMessages(), "dense_desc_interfaces/msg"
    ROS2.register({k: v for k, v in interfaces_store().fielddefs.items() if k.startswith(ours)})

    def poses(number: int, stamp_ns: int) -> list[Record]:
        left, right = pose_of(number, LEFT), pose_of(number, RIGHT, wrong=True)
        alone = ros.PoseStamped(
            header=header(ROS2, stamp_ns + 1_000_000), pose=pose_message(ros, left)
        )
        cell = ros.CellTruth(
            header=header(ROS2, stamp_ns - 1_000_000, "base"),
            seed=1,
            objects=[
                ros.TrueObject(body=name, pose=pose_message(ros, T_BASE_CAMERA @ pose))
                for name, pose in (("cap_0", left), ("cap_1", right))
            ],
        )
        return [
            Record("/pose", "geometry_msgs/msg/PoseStamped", stamp_ns, lambda _: alone),
            Record("/truth", f"{ours}/CellTruth", stamp_ns, lambda _: cell),
        ]

    records = [each for n, f in enumerate(frames) for each in (*poses(n, f.stamp_ns), *whole([f]))]
    write_ros2(folder / "bag", sorted(records, key=lambda each: each.recorded_ns))
    local_model().save(folder / "weights.safetensors")
    return folder / "bag"


def run(bag: Path, out: Path, *arguments: object) -> tuple[Any, str, str]:
    given = ["--weights", bag.parent / "weights.safetensors", "--out", out, "--device", "cpu"]
    clicks = [f"--register=left=0:{LEFT[0]},{LEFT[1]}", f"--register=right=0:{RIGHT[0]},{RIGHT[1]}"]
    return call("replay", bag, *given, *clicks, "--method", "straight", "--json", *arguments)


def check(printed: str) -> None:
    """The left one is right, and once covered; the right one is off by what is known."""
    references = json.loads(printed)["references"]
    left, right = references["left"], references["right"]
    assert (left["visible"], left["hidden"]) == (FRAME_COUNT - 2, 1)
    assert left["median_px"] < 0.5 and left["pose_median_mm"] < 2 and left["pose_median_deg"] < 0.5
    assert (right["visible"], right["hidden"]) == (FRAME_COUNT - 1, 0)
    assert right["median_px"] == pytest.approx(WRONG_M / DEPTH * CAMERA.fx, abs=0.5)
    assert right["pose_median_mm"] == pytest.approx(1000 * WRONG_M, abs=2)
    assert right["pose_median_deg"] == pytest.approx(WRONG_DEG, abs=0.5)


def test_errors_against_the_poses_of_a_bop_scene(bag: Path, bop: Path, tmp_path: Path) -> None:
    code, printed, said = run(bag, tmp_path / "out", "--truth", bop.parent, "--fail-under=auc=0.2")
    assert code == 0, said
    check(printed)
    # Against another truth without computing anything again; the camera's pose is that of the node.
    quaternion = Rotation.from_matrix(T_BASE_CAMERA[:3, :3]).as_quat()
    pose = [*T_BASE_CAMERA[:3, 3].tolist(), *quaternion.tolist()]
    code, printed, said = run(
        bag, tmp_path / "out", "--resume", "--truth-topic", "/truth", "--camera-pose", pose
    )
    assert code == 0, said
    check(printed)


def test_what_is_no_truth_is_refused_before_anything_is_computed(
    bag: Path, bop: Path, tmp_path: Path
) -> None:
    unknown = tmp_path / "truth.yaml"
    unknown.write_text("cup: {0: [1, 2]}")
    for arguments, reason in (
        (("--truth", unknown), "has cup, which are no references"),
        (("--truth-topic", "/nothing"), "there is no /nothing, but /c/aligned_depth"),
        (("--truth-topic", "/c/color/camera_info"), "is sensor_msgs/msg/CameraInfo"),
        (("--truth-topic", "/truth"), "frame 'base', but the images in 'optical'"),
        (("--truth-topic", "/truth", "--camera-pose", "[0, 0]"), "seven finite numbers"),
        (("--truth-topic", "/truth", "--truth", bop), "not from both"),
        (("--truth", tmp_path), "not a BOP data set"),
    ):
        code, printed, said = run(bag, tmp_path / "out", *arguments)
        assert (code, printed) == (2, "") and reason in said, said
        assert len(said.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_objects_of_a_frame(bag: Path, bop: Path, frames: list[Any], tmp_path: Path) -> None:
    frame = RecordedFrame(2, 0.2, frames[2], frames[2].stamp_ns)
    (alone,) = TopicPoses(bag, "/pose", None).at(frame)
    np.testing.assert_allclose(alone.T_camera_object, pose_of(2, LEFT), atol=1e-9)
    late = replace(frame, frame=replace(frames[2], stamp_ns=frames[-1].stamp_ns + 60_000_000))
    assert TopicPoses(bag, "/pose", None).at(late) == []
    first, second = BopPoses(bop).at(frame)
    assert (first.key, second.key) == ("7.0", "7.1") and first.mask is not None
    with pytest.raises(DataError, match="6 images, but the recording a frame 6"):
        BopPoses(bop).at(replace(frame, number=FRAME_COUNT))
    broken = tmp_path / "000000"
    broken.mkdir()
    (broken / "scene_camera.json").write_text('{"0": {}}')
    (broken / "scene_gt.json").write_text('{"0": [{"obj_id": 1}]}')
    with pytest.raises(DataError, match="scene_gt.json.*cam_R_m2c"):
        BopPoses(broken).at(replace(frame, number=0))
