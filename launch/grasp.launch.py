"""Starts descriptor_node on a camera's topics.

    ros2 launch dense_desc_ros grasp.launch.py weights:=caps.safetensors camera:=/camera

`ros2 launch dense_desc_ros grasp.launch.py --show-args` lists all arguments. Those left empty leave
what the parameter file says, or the node's own default.
"""

from typing import Any

import yaml
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

CAMERA, NAME = "camera", "descriptor_node"
REMAPPED = {
    "color": ("color/image_raw", "Topic of the colour images."),
    "depth": ("aligned_depth_to_color/image_raw", "Topic of depth registered to colour."),
    "camera_info": ("color/camera_info", "Topic of the intrinsics of colour."),
    "unaligned_depth": ("depth/image_rect_raw", "Topic of depth if aligned_depth is false."),
    "depth_info": ("depth/camera_info", "Topic of the intrinsics of that depth."),
}
PARAMETERS = {
    "autostart": "true or false: whether the node configures and activates itself.",
    "weights": "Safetensors file of the model.",
    "references": "Folder of the registered references.",
    "device": "cpu, cuda, or auto: a GPU if there is one.",
    "base_frame": "Frame to give grasps in; its pose comes from camera_pose, else from tf2.",
    "camera_pose": "Pose of the camera optical frame in base_frame: '[x, y, z, qx, qy, qz, qw]'.",
}
SEEN_IN_RVIZ = ("matches", "descriptors", "heatmaps", "markers", "grasp_poses")


def generate_launch_description() -> LaunchDescription:
    params_file = PathJoinSubstitution(
        [FindPackageShare("dense_desc_ros"), "config", "descriptor_node.yaml"]
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                CAMERA,
                default_value="camera",
                description="Namespace of the camera's topics; newer RealSense drivers use "
                "/camera/camera.",
            ),
            *(
                DeclareLaunchArgument(
                    name,
                    default_value=[LaunchConfiguration(CAMERA), f"/{topic}"],
                    description=description,
                )
                for name, (topic, description) in REMAPPED.items()
            ),
            DeclareLaunchArgument(
                "params_file", default_value=params_file, description="Parameters of the node."
            ),
            *(
                DeclareLaunchArgument(name, default_value="", description=description)
                for name, description in PARAMETERS.items()
            ),
            DeclareLaunchArgument("name", default_value=NAME, description="Name of the node."),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of the node."
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="debug, info, warn or error."
            ),
            DeclareLaunchArgument(
                "camera_frame",
                default_value="",
                description="Name of the camera optical frame, to have camera_pose published as "
                "its transform to base_frame. Not where somebody else publishes one.",
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="false",
                description="true: show what is found in RViz, where clicks register points.",
            ),
            OpaqueFunction(function=_start_nodes),
        ]
    )


def _start_nodes(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value}
    if "autostart" in parameters:
        parameters["autostart"] = yaml.safe_load(parameters["autostart"])
    if "camera_pose" in parameters:  # ROS takes no whole numbers among others
        parameters["camera_pose"] = [float(x) for x in yaml.safe_load(parameters["camera_pose"])]
    nodes = [_descriptor_node(parameters)]
    camera_frame = LaunchConfiguration("camera_frame").perform(context)
    base_frame, pose = given["base_frame"], parameters.get("camera_pose")
    if camera_frame and base_frame and pose:
        nodes.append(_static_transform(base_frame, camera_frame, pose))
    if yaml.safe_load(LaunchConfiguration("rviz").perform(context)):
        nodes.append(_rviz(base_frame or camera_frame))
    return nodes


def _descriptor_node(parameters: dict[str, Any]) -> Node:
    return Node(
        package="dense_desc_ros",
        executable="descriptor_node",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=[
            (f"camera/{topic}", LaunchConfiguration(name)) for name, (topic, _) in REMAPPED.items()
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
    )


def _static_transform(parent: str, child: str, pose: list[float]) -> Node:
    options = ("--x", "--y", "--z", "--qx", "--qy", "--qz", "--qw")
    values = [text for pair in zip(options, map(str, pose), strict=True) for text in pair]
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        arguments=[*values, "--frame-id", parent, "--child-frame-id", child],
    )


def _rviz(fixed_frame: str) -> Node:
    """RViz with the names of its configuration replaced by those that are in use.

    Depth registered to colour has the intrinsics of colour.
    """
    cameras = {topic: name for name, (topic, _) in REMAPPED.items()}
    cameras["aligned_depth_to_color/camera_info"] = "camera_info"
    config = PathJoinSubstitution([FindPackageShare("dense_desc_ros"), "config", "grasp.rviz"])
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        remappings=[
            *((f"/camera/{topic}", LaunchConfiguration(name)) for topic, name in cameras.items()),
            *(
                (f"/{NAME}/{topic}", [LaunchConfiguration("name"), f"/{topic}"])
                for topic in SEEN_IN_RVIZ
            ),
        ],
        arguments=["-d", config, *(["--fixed-frame", fixed_frame] if fixed_frame else [])],
    )
