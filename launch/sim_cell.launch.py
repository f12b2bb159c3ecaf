"""The simulated cell with the node that sees, the node that picks, and RViz if wanted.

    ros2 launch dense_desc_ros sim_cell.launch.py weights:=models/caps.safetensors

Then register a point and send a goal to /pick_node/pick: see docs/picking.md.
"""

from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, SetUseSimTime
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

SHARE = FindPackageShare("dense_desc_ros")
CELL = {
    "category": ("caps", "What lies on the table: caps or mugs."),
    "instances": ("1", "How many of them."),
    "distractors": ("0", "How many other things lie around them."),
    "seed": ("0", "Of the scene."),
    "camera": ("wrist", "Where the camera is: wrist or fixed."),
    "viewer": ("false", "true: show the cell in a window."),
}


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument("weights", description="File of the model (safetensors)."),
            DeclareLaunchArgument(
                "rviz", default_value="false", description="true: show what is seen in RViz."
            ),
            *(
                DeclareLaunchArgument(name, default_value=value, description=description)
                for name, (value, description) in CELL.items()
            ),
            SetUseSimTime(True),
            Node(
                package="dense_desc_ros",
                executable="sim_cell",
                parameters=[{name: LaunchConfiguration(name) for name in CELL}],
                output="screen",
                emulate_tty=True,
            ),
            _included(
                "grasp",
                camera="camera",  # its topics; else it would be the place of the one above
                weights=LaunchConfiguration("weights"),
                rviz=LaunchConfiguration("rviz"),
                params_file=PathJoinSubstitution([SHARE, "config", "descriptor_node_sim.yaml"]),
            ),
            _included("pick", robot="sim"),
        ]
    )


def _included(name: str, **arguments: object) -> GroupAction:
    """Another launch file, in a group: else its name and parameters would be the next one's too."""
    file = PathJoinSubstitution([SHARE, "launch", f"{name}.launch.py"])
    source = PythonLaunchDescriptionSource(file)
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))])
