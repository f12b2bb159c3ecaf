"""The node that picks, for one of the configured robots.

`ros2 launch dense_desc_ros pick.launch.py --show-args` lists all arguments. Those left empty leave
what the parameter file says. The descriptor node is started by grasp.launch.py.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

ROBOTS = ("franka", "ur", "sim")
PARAMETERS = {
    "base_frame": "Frame that grasps come in and the arm moves in.",
    "descriptor_node": "Name of the node that finds grasps.",
}


def generate_launch_description() -> LaunchDescription:
    configs = PathJoinSubstitution([FindPackageShare("dense_desc_ros"), "config", "pick_"])
    params_file = [configs, LaunchConfiguration("robot"), ".yaml"]
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "robot",
                default_value="franka",
                choices=ROBOTS,
                description="Whose parameter file to take, if none is named.",
            ),
            DeclareLaunchArgument(
                "params_file", default_value=params_file, description="Parameters of the node."
            ),
            *(
                DeclareLaunchArgument(name, default_value="", description=description)
                for name, description in PARAMETERS.items()
            ),
            DeclareLaunchArgument("name", default_value="pick_node", description="Of the node."),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of the node."
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="debug, info, warn or error."
            ),
            OpaqueFunction(function=_start_node),
        ]
    )


def _start_node(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    return [
        Node(
            package="dense_desc_ros",
            executable="pick_node",
            name=LaunchConfiguration("name"),
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                LaunchConfiguration("params_file"),
                {name: value for name, value in given.items() if value},
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
            emulate_tty=True,
            sigterm_timeout="15",  # the arm is stopped before the node ends
        )
    ]
