"""Room in shared memory for the images that a process publishes."""

import os
from pathlib import Path

PROFILES_FILE = "FASTDDS_DEFAULT_PROFILES_FILE"
# What people set to choose how Fast DDS sends, which is then left to them.
CHOICES = (PROFILES_FILE, "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
PROFILE = Path(__file__).with_name("fastdds.xml")


def make_room_for_images() -> None:
    """Have Fast DDS keep whole images in shared memory, unless the environment says how it sends.

    For this process and those that it starts, before it initialises ROS. Without it images get
    lost when their receiver is a little late (docs/speed.md). Other middlewares do not mind.
    """
    if not any(name in os.environ for name in CHOICES):
        os.environ[PROFILES_FILE] = str(PROFILE)
