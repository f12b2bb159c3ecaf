"""Grasps of a reference, asked of the descriptor node."""

import geometry_msgs.msg
import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from dense_desc_interfaces.msg import Grasp, GraspArray
from dense_desc_interfaces.srv import ComputeGrasp
from dense_desc_ros.camera import FloatArray
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasp_messages import pose_matrix, pose_message
from dense_desc_ros.nodes.remote_calls import Patience, ServiceCaller
from dense_desc_ros.picking.arm import Cancelled
from dense_desc_ros.picking.pick import Candidate, PickError, Reason, Sighting


class GraspLook:
    """Looks by the service compute_grasp.

    Args:
        node: calls; is spun by another thread.
        descriptor_node: name of the node that finds grasps.
        base_frame: that grasps have to be in.
        patience: with the service.
    """

    def __init__(
        self, node: Node, descriptor_node: str, base_frame: str, patience: Patience
    ) -> None:
        name = f"{descriptor_node.rstrip('/')}/compute_grasp"
        self._service = ServiceCaller(node, ComputeGrasp, name, patience)
        self._base_frame = base_frame

    def look(self, reference: str, cancelled: Cancelled) -> Sighting:
        """The grasps in the newest frame.

        Raises:
            PickError: FRAME, the grasps are not in the base frame.
            ArmError: nobody answers, or cancelled.
        """
        answer = self._service.call(ComputeGrasp.Request(names=[reference]), cancelled)
        if not answer.success:
            return Sighting([], [answer.message])
        array: GraspArray = answer.grasps
        if array.grasps and array.header.frame_id != self._base_frame:
            raise PickError(
                Reason.FRAME,
                f"grasps come in the frame {array.header.frame_id!r}, not in "
                f"{self._base_frame!r}: tell the descriptor node the base_frame, and the camera's "
                "pose in it by camera_pose or tf2",
            )
        candidates, reasons = [], [refusal.reason for refusal in array.refusals]
        for grasp in array.grasps:
            try:
                candidates.append(_candidate(grasp))
            except InvalidInputError as error:
                reasons.append(f"a grasp that cannot be used: {error}")
        return Sighting(candidates, reasons)

    def close(self) -> None:
        """Look no longer."""
        self._service.close()


def grasp_message(candidate: Candidate | None) -> Grasp:
    """A grasp as it was found, with the pose that is used; empty if there is none."""
    if candidate is None:
        return Grasp()
    found = candidate.source
    assert isinstance(found, Grasp)
    fields = {name: getattr(found, name) for name in found.get_fields_and_field_types()}
    pose = pose_message(geometry_msgs.msg, candidate.T_base_grasp)
    fields["pose"] = geometry_msgs.msg.PoseStamped(header=found.pose.header, pose=pose)
    return Grasp(**fields)


def _candidate(grasp: Grasp) -> Candidate:
    T_base_grasp: FloatArray = pose_matrix(grasp.pose.pose)
    stamp = Time.from_msg(grasp.pose.header.stamp).nanoseconds * 1e-9
    width = float(grasp.opening_width)
    around = np.asarray(grasp.around, dtype=float)
    if len(around) % 3 or not np.isfinite(around).all():
        raise InvalidInputError("the points around it are not finite numbers x, y, z")
    points = around.reshape(-1, 3)
    return Candidate(grasp.name, grasp.score, T_base_grasp, width, stamp, grasp, points)
