"""The package as colcon and pip install it. What it needs: package.xml and requirements.txt."""

from glob import glob

from setuptools import find_packages, setup

NAME = "dense_desc_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="Dense visual descriptors for robot grasping, as a ROS 2 package",
    maintainer="dense_desc_ros maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "py.typed",
            "evaluation/*.html",
            "evaluation/*/*.html",
            "interfaces/*.msg",
            "labelling/page/*",
            "nodes/fastdds.xml",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml", f"{NAME}/nodes/fastdds.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.py")),
        (f"share/{NAME}/config", glob("config/*.yaml") + glob("config/*.rviz")),
        (f"share/{NAME}/config/sros2", glob("config/sros2/*.xml")),
        (f"share/{NAME}/config/train", glob("config/train/*.yaml")),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "dense-desc = dense_desc_ros.cli:main",
            "descriptor_node = dense_desc_ros.nodes.descriptor_node:main",
            "pick_node = dense_desc_ros.nodes.pick_node:main",
            "sim_cell = dense_desc_ros.nodes.sim_cell:main",
        ],
    },
)
