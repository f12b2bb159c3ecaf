"""Replays a rosbag2 offline, plays it to descriptor_node, and compares what both find.

    ros2 launch dense_desc_ros replay.launch.py bag:=bag weights:=caps.safetensors \
        register:=mug=0:320,240

It is `dense-desc replay --online`, in a ROS domain of its own. Launch ends with exit code 1 if the
node answers otherwise, or either of them fails. For what is not among the arguments, such as
topics and truth, give `options`, as `dense-desc replay --help` tells them.
"""

import shlex

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import ExecutableInPackage

from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "bag": ("Recordings, rosbag2, separated by blanks.", None),
    "weights": ("Safetensors file of the model.", None),
    "register": ("Points to find, NAME=FRAME:U,V, separated by blanks.", ""),
    "references": ("Folder of references to find.", ""),
    "out": ("Folder of the run.", "replay"),
    "rate": ("How fast the recordings are played to the node.", "1.0"),
    "options": ("Further options of `dense-desc replay`.", ""),
}


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, description=description, default_value=default)
                for name, (description, default) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=_replay),
        ]
    )


def _replay(context: LaunchContext) -> list[ExecuteProcess]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    program = ExecutableInPackage(package="dense_desc_ros", executable="dense-desc")
    command = [program, "replay", "--online", *shlex.split(given["bag"])]
    for name in ("weights", "out", "rate", "references"):
        if given[name]:
            command += [f"--{name}", given[name]]
    for click in shlex.split(given["register"]):
        command += ["--register", click]
    command += shlex.split(given["options"])
    return [ExecuteProcess(cmd=command, output="screen", on_exit=_end)]


def _end(event: ProcessExited, _: LaunchContext) -> list[Shutdown]:
    if event.returncode:
        # What launch has to make its own exit code tell of a process.
        raise RuntimeError(f"dense-desc replay ended with exit code {event.returncode}")
    return [Shutdown(reason="the replay is done")]
