"""The work on frames and requests, on a thread of its own: RGB-D frames in, grasps out."""

import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rclpy.node import Node

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.messages import NANOSECONDS, stamp_to_ns
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.nodes.camera_pose import CameraPose, FixedPose, NoPose
from dense_desc_ros.nodes.conversions import grasp_array
from dense_desc_ros.nodes.frames import UnusableFrameError, check_age, read_frame
from dense_desc_ros.nodes.health import FrameTimes, Health, shortened
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.results import ResultPublishers
from dense_desc_ros.nodes.synchronizer import RgbdMessages, Synchronizer
from dense_desc_ros.nodes.transforms import Transforms, UnknownPoseError
from dense_desc_ros.nodes.views import ViewPublishers
from dense_desc_ros.pipeline import FrameResult, GraspPipeline
from dense_desc_ros.rgbd_frame import RgbdFrame

T = TypeVar("T")


class FrameWorker:
    """Finds the registered references in what the camera sees.

    The thread of the executor only receives messages and requests. Another one, that of the model,
    does all the work for them, one after another and always on the newest frame.

    Args:
        node: tells the time, and logs.
        parameters: their values now.
        pipeline: finds the grasps.
        pose: where the camera is.
        results, views: told what was found.

    Attributes:
        pipeline: see above.
        health: what was done.
        synchronizer: where frames are taken from.
        is_active: whether there may be frames.
        pose_problem: why the camera's pose is not known, or "".
        parameters: their values now.
    """

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        pipeline: GraspPipeline,
        pose: CameraPose,
        results: ResultPublishers,
        views: ViewPublishers,
    ) -> None:
        self._node, self.parameters = node, parameters
        self.pipeline, self._pose = pipeline, pose
        self._results, self._views = results, views
        self.health = Health()
        self.synchronizer = Synchronizer(_nanoseconds(parameters.sync_slop), time.perf_counter)
        self.pose_problem = ""
        self._newest: FrameResult | None = None
        self._transforms: Transforms | None = None
        self.is_active = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    def close(self) -> None:
        """Finish what is in work, and let go of the model."""
        self._thread.shutdown(cancel_futures=True)
        del self.pipeline  # the executor keeps callbacks, and they keep this, until it waits again

    @contextmanager
    def working(self, transforms: Transforms | None) -> Iterator[None]:
        """While this lasts there may be frames; no result of theirs comes after it, nor is kept.

        Args:
            transforms: tell where the depth camera is, if the parameters do not.
        """
        self._transforms = transforms
        self.synchronizer.with_depth_info = not self.parameters.aligned_depth
        self.is_active = True
        try:
            yield
        finally:
            self.is_active = False
            self.synchronizer.clear()
            self.run(lambda: None)  # which comes after the frame in work
            self._newest = None
            self.health.forget_error()

    def frame_is_ready(self) -> None:
        """Work on the newest frame of the synchronizer, when what is in work is done."""
        self._thread.submit(self._work_on_newest)

    def apply(self, parameters: NodeParameters) -> None:
        """Take new values of the parameters that may change meanwhile."""
        self.pipeline.settings = parameters.settings
        self.synchronizer.slop_ns = _nanoseconds(parameters.sync_slop)
        if parameters.camera_pose:
            self._pose = FixedPose(parameters.base_frame, parameters.camera_pose)
        self.parameters = parameters

    def refuse(self, kind: str, reason: object, details: str = "") -> None:
        """Count a frame or message that cannot be used, and log it, but not too often."""
        text = shortened(reason)
        if self.health.refused(kind, text):
            self._node.get_logger().error(f"frame refused ({kind}): {text}\n{details}".rstrip())

    # What the services need: see services.Backend.

    def run(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    def read(self, messages: RgbdMessages) -> RgbdFrame:
        return read_frame(messages, self.parameters)

    def newest(self) -> FrameResult:
        if not self.is_active:
            raise InvalidInputError("the node is not active, so it sees no frames: activate it")
        if self._newest is None:
            reason = self.health.error or "none has arrived; see /diagnostics for what is missing"
            raise InvalidInputError(f"no frame has been processed yet: {reason}")
        return self._newest

    def camera_pose(self, frame: RgbdFrame) -> tuple[str, FloatArray | None]:
        try:
            known = self._pose.at(frame)
            self.pose_problem = ""
        except UnknownPoseError as error:
            self.pose_problem = f"grasps are given in the camera frame: {error}"
            if self.health.worth_logging("pose"):
                self._node.get_logger().warning(self.pose_problem)
            known = NoPose().at(frame)
        return known

    # On the thread of the model.

    def _work_on_newest(self) -> None:
        messages = self.synchronizer.take()
        if messages is None:
            return
        try:
            self._work_on(messages)
        except UnusableFrameError as refusal:
            self.refuse(refusal.kind, refusal)
        except Exception as error:  # whatever it is, the next frame deserves its chance
            if self._node.context.ok():
                self.refuse("internal", f"internal error: {error!r}", traceback.format_exc())

    def _work_on(self, messages: RgbdMessages) -> None:
        start = time.perf_counter()
        now_ns = self._node.get_clock().now().nanoseconds
        stamp_ns = stamp_to_ns(messages.color.header.stamp)
        check_age(stamp_ns, now_ns, self.parameters.max_frame_age)
        frame = read_frame(messages, self.parameters, self._transforms)
        read = time.perf_counter()
        frame_id, pose = self.camera_pose(frame)
        result = self._newest = self.pipeline.process(frame, pose)
        found = time.perf_counter()
        grasps = grasp_array(result, frame_id, pose)
        self._results.publish(grasps)
        end = time.perf_counter()
        self.health.processed(
            FrameTimes(
                wait=start - messages.arrived,
                messages=read - start + end - found,
                forward=result.timings.forward,
                matching=result.timings.matching,
                grasp=result.timings.grasp,
                total=end - messages.arrived,
            ),
            invalid_depth=1 - frame.depth_coverage,
        )
        self._results.publish_pictures(result)
        self._views.publish(result, grasps, pose, self.pipeline)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
