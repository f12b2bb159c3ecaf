"""The node: RGB-D frames come in over topics, grasps for every registered reference go out."""

import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from dense_desc_interfaces.msg import GraspArray
from dense_desc_ros.camera import FloatArray, RgbdFrame
from dense_desc_ros.data.messages import NANOSECONDS, image_to_message, stamp_to_ns
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError, WeightsError
from dense_desc_ros.nodes.camera_pose import (
    FixedPose,
    NoPose,
    UnknownPoseError,
    make_camera_pose,
)
from dense_desc_ros.nodes.conversions import grasp_array, header_of, pose_array
from dense_desc_ros.nodes.diagnostics import Diagnostics
from dense_desc_ros.nodes.frames import UnusableFrameError, read_frame
from dense_desc_ros.nodes.health import FrameTimes, Health, shortened
from dense_desc_ros.nodes.newest_subscription import NewestSubscription
from dense_desc_ros.nodes.parameters import NodeParameters, declare_parameters, watch_parameters
from dense_desc_ros.nodes.services import Services
from dense_desc_ros.nodes.synchronizer import RgbdMessages, Synchronizer
from dense_desc_ros.pictures import DescriptorColors, draw_matches
from dense_desc_ros.pipeline import FrameResult, GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

NODE_NAME = "descriptor_node"
COLOR_TOPIC = "camera/color/image_raw"
DEPTH_TOPIC = "camera/aligned_depth_to_color/image_raw"
CAMERA_INFO_TOPIC = "camera/color/camera_info"

T = TypeVar("T")


class DescriptorNode(Node):
    """Finds the registered references in what the camera sees.

    The thread of the executor only receives messages and requests. Another one, that of the model,
    does all the work for them, one after another and always on the newest frame.

    Raises:
        DenseDescError: weights, references or parameters that cannot be used.
        rclpy.exceptions.ParameterException: a parameter of the wrong type or out of its range.
    """

    def __init__(self) -> None:
        super().__init__(NODE_NAME)
        self._parameters_now = declare_parameters(self)
        self.pipeline = _load_pipeline(self._parameters_now)
        self._camera_pose = make_camera_pose(self, self._parameters_now)
        self._pose_problem = ""
        self._newest: FrameResult | None = None
        self._colors = DescriptorColors()
        self._health = Health()
        self._synchronizer = Synchronizer(
            _nanoseconds(self._parameters_now.sync_slop), time.perf_counter
        )
        self._model_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._grasps = self.create_publisher(GraspArray, "~/grasps", 10)
        self._poses = self.create_publisher(PoseArray, "~/grasp_poses", 10)
        self._descriptor_picture = self.create_publisher(Image, "~/descriptors", 1)
        self._match_picture = self.create_publisher(Image, "~/matches", 1)
        topics = self._subscribe()
        Services(self, self)
        self._diagnostics = Diagnostics(
            self,
            self._health,
            self._synchronizer,
            self.pipeline.store,
            topics,
            self._describe_model(),
            lambda: self._pose_problem,
        )
        watch_parameters(self, self._parameters_now, self._check, self._apply)
        self.get_logger().info(
            f"ready: {len(self.pipeline.store)} references from {self.pipeline.store.folder}; "
            f"waiting for {', '.join(topics.values())}"
        )

    def close(self) -> None:
        """Finish the frame in work, and take no other."""
        self._model_thread.shutdown(cancel_futures=True)

    # What the services need: see services.Backend.

    def run(self, work: Callable[[], T]) -> T:
        return self._model_thread.submit(work).result()

    def newest(self) -> FrameResult:
        if self._newest is None:
            reason = self._health.error or "none has arrived; see /diagnostics for what is missing"
            raise InvalidInputError(f"no frame has been processed yet: {reason}")
        return self._newest

    def camera_pose(self, frame: RgbdFrame) -> tuple[str, FloatArray | None]:
        try:
            known = self._camera_pose.at(frame)
            self._pose_problem = ""
        except UnknownPoseError as error:
            self._pose_problem = f"grasps are given in the camera frame: {error}"
            if self._health.worth_logging("pose"):
                self.get_logger().warning(self._pose_problem)
            known = NoPose().at(frame)
        return known

    # Frames: received on the executor's thread, worked on by the model's.

    def _subscribe(self) -> dict[str, str]:
        """Subscribe to the camera, and return the names of its topics after remapping."""
        add = self._synchronizer
        inputs: dict[str, tuple[Any, str, Callable[[Any], bool]]] = {
            "color": (Image, COLOR_TOPIC, lambda m: add.add_color(_stamp(m), m)),
            "depth": (Image, DEPTH_TOPIC, lambda m: add.add_depth(_stamp(m), m)),
            "camera_info": (CameraInfo, CAMERA_INFO_TOPIC, add.add_camera_info),
        }
        return {
            name: NewestSubscription(self, kind, topic, self._receiving(receive)).topic
            for name, (kind, topic, receive) in inputs.items()
        }

    def _receiving(self, receive: Callable[[Any], bool]) -> Callable[[Any], None]:
        def callback(message: Any) -> None:
            if receive(message):
                self._model_thread.submit(self._work_on_newest)

        return callback

    def _work_on_newest(self) -> None:
        messages = self._synchronizer.take()
        if messages is None:
            return
        try:
            self._work_on(messages)
        except UnusableFrameError as refusal:
            self.refuse(refusal.kind, refusal)
        except Exception as error:  # whatever it is, the next frame deserves its chance
            if self.context.ok():
                self.refuse("internal", f"internal error: {error!r}", traceback.format_exc())

    def refuse(self, kind: str, reason: object, details: str = "") -> None:
        """Count a frame or message that cannot be used, and log it, but not too often."""
        text = shortened(reason)
        if self._health.refused(kind, text):
            self.get_logger().error(f"frame refused ({kind}): {text}\n{details}".rstrip())

    def _work_on(self, messages: RgbdMessages) -> None:
        start = time.perf_counter()
        now_ns = self.get_clock().now().nanoseconds
        frame = read_frame(messages, now_ns, self._parameters_now.max_frame_age)
        read = time.perf_counter()
        frame_id, pose = self.camera_pose(frame)
        result = self._newest = self.pipeline.process(frame, pose)
        found = time.perf_counter()
        grasps = grasp_array(result, frame_id, pose)
        self._grasps.publish(grasps)
        self._poses.publish(pose_array(grasps))
        end = time.perf_counter()
        self._health.processed(
            FrameTimes(
                wait=start - messages.arrived,
                messages=read - start + end - found,
                forward=result.timings.forward,
                matching=result.timings.matching,
                grasp=result.timings.grasp,
                total=end - messages.arrived,
            )
        )
        self._publish_pictures(result)

    def _publish_pictures(self, result: FrameResult) -> None:
        """Publish the pictures that somebody looks at."""
        for publisher, draw in (
            (self._descriptor_picture, lambda: self._colors(result.descriptors)),
            (self._match_picture, lambda: draw_matches(result)),
        ):
            if publisher.get_subscription_count():
                publisher.publish(image_to_message(Image, header_of(result.frame), draw()))

    # Parameters.

    def _check(self, changed: NodeParameters) -> None:
        """Raise InvalidInputError if these parameters cannot replace those of now."""
        _ = changed.settings
        if bool(changed.camera_pose) != bool(self._parameters_now.camera_pose):
            raise InvalidInputError("camera_pose was set or empty at the start and must stay so")
        if changed.camera_pose:
            FixedPose(changed.base_frame, changed.camera_pose)

    def _apply(self, changed: NodeParameters) -> None:
        self.pipeline.settings = changed.settings
        self._synchronizer.slop_ns = _nanoseconds(changed.sync_slop)
        if changed.camera_pose:
            self._camera_pose = FixedPose(changed.base_frame, changed.camera_pose)
        self._parameters_now = changed

    def _describe_model(self) -> dict[str, str]:
        return {
            "device": str(self.pipeline.model.device),
            "threads": str(torch.get_num_threads()),
            "weights": self._parameters_now.weights,
            "weights_fingerprint": self.pipeline.model.fingerprint,
        }


def _load_pipeline(parameters: NodeParameters) -> GraspPipeline:
    if not parameters.weights:
        raise WeightsError("the parameter weights is not set: give the file of a model")
    if parameters.threads:
        torch.set_num_threads(parameters.threads)
    model = DescriptorModel.load(Path(parameters.weights).expanduser(), parameters.device)
    store = ReferenceStore(Path(parameters.references).expanduser(), model.fingerprint)
    return GraspPipeline(model, store, parameters.settings)


def _stamp(message: Image) -> int:
    return stamp_to_ns(message.header.stamp)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
