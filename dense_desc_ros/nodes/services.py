"""The services of the node: references registered, listed and removed, grasps on request."""

import math
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from geometry_msgs.msg import PointStamped
from rclpy.node import Node

from dense_desc_interfaces.srv import (
    ComputeGrasp,
    ListReferences,
    RegisterReference,
    RemoveReference,
)
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.camera_frames import mask_in_frame, pixels_in_frame
from dense_desc_ros.data.messages import mask_from_message
from dense_desc_ros.descriptors import DescriptorMap
from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.nodes.conversions import (
    grasp_array,
    header_of,
    point_message,
    pose_matrix,
    reference_info,
)
from dense_desc_ros.nodes.health import Health, shortened
from dense_desc_ros.nodes.synchronizer import RgbdMessages
from dense_desc_ros.pipeline import FrameResult, GraspPipeline
from dense_desc_ros.rgbd_frame import RgbdFrame

T = TypeVar("T")


class Backend(Protocol):
    """What the services need of the node."""

    pipeline: GraspPipeline
    health: Health

    def run(self, work: Callable[[], T]) -> T:
        """Do work on the thread of the model, after what it is doing now, and return its result."""

    def read(self, messages: RgbdMessages) -> RgbdFrame:
        """The frame of messages of a request. Raises InvalidInputError if it cannot be used."""

    def newest(self) -> FrameResult:
        """Of the newest frame that was processed. Raises InvalidInputError if there is none."""

    def camera_pose(self, frame: RgbdFrame) -> tuple[str, FloatArray | None]:
        """The frame that grasps are given in, and the camera's pose (4, 4) in it if known."""


class Services:
    """Answers every request: what is wrong with it is said in the answer and never raised.

    Args:
        node: offers the services, under its own name.
        backend: does the work.
    """

    def __init__(self, node: Node, backend: Backend) -> None:
        self._node, self._backend = node, backend
        self._log = node.get_logger()
        self._services = [
            node.create_service(kind, f"~/{name}", callback)
            for kind, name, callback in (
                (RegisterReference, "register_reference", self._answering(self._register)),
                (RemoveReference, "remove_reference", self._answering(self._remove)),
                (ComputeGrasp, "compute_grasp", self._answering(self._compute)),
                (ListReferences, "list_references", self._list),
            )
        ]

    def close(self) -> None:
        """Offer the services no longer."""
        for service in self._services:
            self._node.destroy_service(service)

    def _answering(self, answer: Callable[[Any, Any], str]) -> Callable[[Any, Any], Any]:
        """The service callback of a method that fills a response and says what it did."""
        kind = answer.__name__.lstrip("_")

        def callback(request: Any, response: Any) -> Any:
            self._backend.health.requested()
            try:
                response.message = self._backend.run(lambda: answer(request, response))
                response.success = True
            except (DenseDescError, OSError) as error:
                response.message = self._refuse(kind, error)
            except Exception as error:
                reason = f"internal error: {error!r}"
                response.message = self._refuse("internal", reason, traceback.format_exc())
            return response

        return callback

    def _refuse(self, kind: str, reason: object, details: str = "") -> str:
        """Count and, but not too often, log a request that cannot be answered; its reason."""
        text = shortened(reason)
        if self._backend.health.request_refused(kind, text):
            self._log.warning(f"request refused ({kind}): {text}\n{details}".rstrip())
        return text

    def _register(
        self, request: RegisterReference.Request, response: RegisterReference.Response
    ) -> str:
        frame, descriptors = self._frame(request)
        mask = None
        if not _is_empty(request.mask):
            mask = mask_in_frame(frame, mask_from_message(request.mask))
        registration = self._backend.pipeline.register(
            frame,
            request.name,
            pixels_in_frame(frame, (request.pixel.u, request.pixel.v)),
            descriptors=descriptors,
            mask=mask,
            T_point_grasp=pose_matrix(request.grasp) if request.has_grasp else None,
            opening_width=request.opening_width or math.nan,
            append=request.append,
        )
        response.point = PointStamped(
            header=header_of(frame), point=point_message(registration.point)
        )
        views = len(registration.reference.descriptors)
        text = f"{request.name} is registered with {views} view{'s' if views > 1 else ''}"
        return f"{text}; {registration.remark}" if registration.remark else text

    def _frame(self, request: RegisterReference.Request) -> tuple[RgbdFrame, DescriptorMap | None]:
        """The frame of the request, or the newest one with its descriptors."""
        empty = [_is_empty(m) for m in (request.image, request.depth, request.camera_info)]
        if all(empty):
            newest = self._backend.newest()
            return newest.frame, newest.descriptors
        if any(empty):
            raise InvalidInputError(
                "image, depth and camera_info belong together: give all three, or none of them "
                "for the newest frame"
            )
        messages = RgbdMessages(request.image, request.depth, request.camera_info, time.monotonic())
        return self._backend.read(messages), None

    def _remove(self, request: RemoveReference.Request, response: RemoveReference.Response) -> str:
        self._backend.pipeline.store.remove(request.name)
        return f"{request.name} is removed"

    def _compute(self, request: ComputeGrasp.Request, response: ComputeGrasp.Response) -> str:
        newest = self._backend.newest()
        names = list(dict.fromkeys(request.names)) or None
        frame_id, pose = self._backend.camera_pose(newest.frame)
        result = self._backend.pipeline.find(newest.frame, newest.descriptors, names, pose)
        response.grasps = grasp_array(result, frame_id, pose)
        return f"{len(result.grasps)} grasps, {len(result.refusals)} refusals"

    def _list(
        self, request: ListReferences.Request, response: ListReferences.Response
    ) -> ListReferences.Response:
        self._backend.health.requested()
        response.references = [reference_info(r) for r in self._backend.pipeline.store]
        return response


def _is_empty(message: Any) -> bool:
    """Whether an image or camera_info was left as it is by default."""
    return message.width == 0 and message.height == 0
