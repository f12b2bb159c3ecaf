"""The parameters of an arm that MoveIt moves; the defaults are those of a Franka Research 3."""

from collections.abc import Sequence
from dataclasses import dataclass

from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.grasp_messages import matrix_from_values
from dense_desc_ros.picking.settings import check_limits, setting

GRIPPER_ACTIONS = ("gripper_command", "parallel_gripper_command", "trajectory")
SECONDS = (0.1, 600.0)
METRES = (0.0001, 0.1)


@dataclass(frozen=True)
class MoveItSettings:
    """What MoveIt and the gripper's controller are called and how they are used, SI units.

    Raises:
        InvalidInputError: values out of their limits, or that do not fit together.
    """

    move_group_namespace: str = setting("", "Namespace of move_group; empty: that of this node.")
    planning_group: str = setting("fr3_arm", "Group of joints that moves the tip link.")
    tip_link: str = setting("fr3_hand_tcp", "Link that is moved to the grasps.")
    grasp_in_tip: Sequence[float] = setting(
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        "Pose of the grasp frame (origin between the finger tips, z along the approach, y along "
        "the closing direction) in the tip link: x, y, z (m), qx, qy, qz, qw.",
    )
    home_joints: Sequence[str] = setting(
        tuple(f"fr3_joint{number}" for number in range(1, 8)), "Joints of the group."
    )
    home_positions: Sequence[float] = setting(
        (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785), "Of these joints where the arm waits, rad."
    )
    planning_pipeline: str = setting("", "Of MoveIt; empty: its default.")
    planner: str = setting("", "Of the pipeline; empty: its default.")
    planning_time: float = setting(5.0, "For one plan, s.", SECONDS)
    planning_attempts: int = setting(5, "Plans of which the shortest is taken.", (1, 100))
    position_tolerance: float = setting(0.001, "Of poses that are planned to, m.", METRES)
    orientation_tolerance: float = setting(0.01, "The same of their turn, rad.", (0.0001, 0.5))
    straight_step: float = setting(0.005, "Between two points of a straight motion, m.", METRES)
    joint_jump: float = setting(
        0.5, "Straight motions for which a joint would jump further than this fail, rad.", (0.01, 6)
    )
    straight_avoids_collisions: bool = setting(
        True,
        "Straight motions keep clear of the planning scene; false where an octomap of the object "
        "itself is in it.",
    )
    table: Sequence[float] = setting(
        (),
        "Box that MoveIt keeps clear of: x, y, z of its centre in base_frame, then its sizes along "
        "these, m; empty: none.",
    )
    object_box: float = setting(
        0.0,
        "Edge of the boxes that stand for the object in MoveIt's scene, around points of its "
        "surface, m: kept clear of by the hand on its way there, and carried by it then; 0: none.",
        (0.0, 0.1),
    )
    touch_links: Sequence[str] = setting(
        ("fr3_hand", "fr3_leftfinger", "fr3_rightfinger"), "Links that touch what is held."
    )
    server_timeout: float = setting(
        5.0, "To wait for MoveIt or the gripper to be there, s.", SECONDS
    )
    answer_timeout: float = setting(5.0, "To wait for each answer, s.", SECONDS)
    execution_margin: float = setting(
        5.0, "A motion may take twice as long as planned and this, s.", SECONDS
    )
    gripper_kind: str = setting(
        "gripper_command",
        f"Its action: {', '.join(GRIPPER_ACTIONS[:-1])} or {GRIPPER_ACTIONS[-1]}.",
    )
    gripper_action: str = setting("fr3_gripper/gripper_action", "Name of that action.")
    gripper_joint: str = setting("fr3_finger_joint1", "Joint that tells how far it is open.")
    joint_states: str = setting("joint_states", "Topic that this joint is on.")
    gripper_open: float = setting(
        0.04, "Position of the joint when it is open, rad or m.", (-10, 10)
    )
    gripper_closed: float = setting(0.0, "The same when the tips touch.", (-10, 10))
    gripper_width: float = setting(0.08, "Between the tips when it is open, m.", (0.001, 0.5))
    gripper_effort: float = setting(20.0, "Greatest force when closing, N.", (0.0, 1000.0))
    gripper_time: float = setting(2.0, "For one motion of the fingers at most, s.", SECONDS)
    stall_tolerance: float = setting(
        0.002, "Fingers that end further than this from the width wanted are stalled, m.", METRES
    )

    def __post_init__(self) -> None:
        check_limits(self)
        matrix_from_values(self.grasp_in_tip)
        if len(self.home_joints) != len(self.home_positions) or not self.home_joints:
            raise InvalidInputError(
                f"home_joints and home_positions must be as many, and at least one; there are "
                f"{len(self.home_joints)} and {len(self.home_positions)}"
            )
        if self.gripper_kind not in GRIPPER_ACTIONS:
            known = ", ".join(GRIPPER_ACTIONS)
            raise InvalidInputError(
                f"gripper_kind must be one of {known}, got {self.gripper_kind!r}"
            )
        if self.gripper_open == self.gripper_closed:
            raise InvalidInputError("gripper_open and gripper_closed must not be the same position")
        if self.table and (len(self.table) != 6 or min(self.table[3:]) <= 0):
            raise InvalidInputError(
                f"table must be x, y, z and three positive sizes, got {list(self.table)}"
            )
