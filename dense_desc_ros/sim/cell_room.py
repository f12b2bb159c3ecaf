"""The room around the simulated robot: a laboratory's table, floor, walls and lamps."""

from functools import cache

import numpy as np

from dense_desc_ros.sim.offscreen import add_textured_mesh, mujoco
from dense_desc_ros.sim.robot import BODY_BIT, TIP_BIT
from dense_desc_ros.sim.scene import Light
from dense_desc_ros.sim.textures import Picture, wood

TABLE = "table"
TABLE_MIDDLE, TABLE_SIZE, THICKNESS = (0.42, 0.0), (1.3, 1.5), 0.04  # m
FLOOR = -0.78  # m below the table's top
FRICTION = (0.8, 0.01, 0.0005)
NEAR, FAR = 0.03, 10.0  # m that cameras see
# One shadow takes as long to render as all the rest; more would make its edges soft.
LAMP = Light((0.1, -0.9, 1.9), (0.46, 0.45, 0.42), radius=0.0, count=1)
FILL_POSITION, FILL_COLOR = np.array([1.3, 0.9, 2.0]), (0.20, 0.21, 0.24)  # without shadow
FRAME, WALL, GROUND = (0.2, 0.21, 0.23, 1), (0.80, 0.82, 0.84, 1), (0.55, 0.57, 0.6, 1)


def add_room(spec: mujoco.MjSpec, width: int, height: int) -> None:
    """Add all but robot and objects to a model, and how it is rendered.

    Args:
        spec: the model.
        width, height: of the largest pictures that are rendered of it, pixels.
    """
    spec.stat.extent, spec.stat.center = 1.0, (0.4, 0, 0.2)
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = width, height
    # One sample, at the centre of the pixel: depth must not be averaged over edges, and colours are
    # averaged over finer pixels.
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 1024
    visual.map.znear, visual.map.zfar = NEAR, FAR
    visual.headlight.ambient = (0.36, 0.36, 0.37)
    visual.headlight.diffuse = (0.22, 0.22, 0.22)
    visual.headlight.specular = (0, 0, 0)
    LAMP.add_to(spec.worldbody)
    spec.worldbody.add_light(
        pos=FILL_POSITION,
        dir=-FILL_POSITION,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=FILL_COLOR,
        specular=(0.2, 0.2, 0.2),
        ambient=(0, 0, 0),
        castshadow=False,
    )
    _add_table(spec)
    _add_walls(spec.worldbody)


def _add_table(spec: mujoco.MjSpec) -> None:
    world = spec.worldbody
    (x, y), half = TABLE_MIDDLE, np.array(TABLE_SIZE) / 2
    world.add_geom(
        name=TABLE,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(*half, THICKNESS / 2),
        pos=(x, y, -THICKNESS / 2 - 1e-4),  # below what is seen
        rgba=FRAME,
        contype=BODY_BIT,
        conaffinity=BODY_BIT | TIP_BIT,
        condim=4,
        friction=FRICTION,
    )
    corners = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)]) * half + TABLE_MIDDLE
    add_textured_mesh(
        spec,
        world,
        "table_top",
        np.column_stack([corners, np.zeros(4)]),
        np.tile([0.0, 0, 1], (4, 1)),
        np.array([(0.0, 0), (1, 0), (1, 1), (0, 1)]),
        np.array([(0, 2, 1), (0, 3, 2)], np.int32),
        _table_picture(),
        0.15,
    )
    for sx, sy in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        place = np.array([sx, sy]) * (half - 0.06) + TABLE_MIDDLE
        legs = (FLOOR - THICKNESS) / 2
        _add_box(world, (0.03, 0.03, -FLOOR / 2 - THICKNESS / 2), (*place, legs), FRAME)


def _add_walls(world: mujoco.MjsBody) -> None:
    _add_box(world, (4, 4, 0.01), (0, 0, FLOOR - 0.01), GROUND)
    _add_box(world, (0.01, 4, 1.8), (-1.6, 0, FLOOR + 1.8), WALL)
    _add_box(world, (4, 0.01, 1.8), (0, 2.2, FLOOR + 1.8), WALL)


def _add_box(
    world: mujoco.MjsBody,
    half: tuple[float, float, float],
    at: tuple[float, float, float],
    rgba: tuple[float, float, float, float],
) -> None:
    kind = mujoco.mjtGeom.mjGEOM_BOX
    world.add_geom(type=kind, size=half, pos=at, rgba=rgba, contype=0, conaffinity=0)


@cache
def _table_picture() -> Picture:
    return wood(np.random.default_rng(7), 1536, 1536, 9, (224, 196, 158), (178, 140, 100))
