"""Repair the CMake files of the ROS 2 wheels, so that interfaces can be built against them.

They name two directories of the machine that built the wheels: Python's headers and numpy's. Run
with the Python of the virtual environment that they are installed in; running it again is harmless.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

PREFIX = r"/opt/python/cp\d+-cp\d+"
DIRECTORIES = {
    rf"{PREFIX}/lib/python3\.\d+/site-packages/numpy/_core/include": numpy.get_include(),
    rf"{PREFIX}/include/python3\.\d+": sysconfig.get_path("include"),
}


def repair(text: str) -> str:
    for pattern, directory in DIRECTORIES.items():
        text = re.sub(pattern, lambda _, directory=directory: directory, text)
    return text


def main() -> None:
    for path in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
        text = path.read_text()
        if (repaired := repair(text)) != text:
            path.write_text(repaired)


if __name__ == "__main__":
    main()
