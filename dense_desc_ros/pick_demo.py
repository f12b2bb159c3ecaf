"""The demonstration: a grasp taught on one cap by service, then other caps picked where it was.

Everything happens as on a robot: the cell, the node that sees and the node that picks are processes
of their own, and this one is the user, who teaches, asks for picks, and compares with the truth.
"""

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dense_desc_ros.camera import FloatArray
from dense_desc_ros.data.images import write_image
from dense_desc_ros.data.objects import make_object
from dense_desc_ros.evaluation.film import Film
from dense_desc_ros.evaluation.picks.teaching import Lesson, click
from dense_desc_ros.files import write_atomically
from dense_desc_ros.grasp_messages import pose_matrix
from dense_desc_ros.gripper_drawing import draw_gripper
from dense_desc_ros.rgbd_frame import RgbdFrame
from dense_desc_ros.sim.anatomy import TAUGHT as TAUGHT_GRASPS

if TYPE_CHECKING:
    from dense_desc_ros.nodes.cell_graph import CellUser

CATEGORY, TAUGHT, PICKS = "caps", 100, 5  # numbers from 100 on are unseen in training
REFERENCE = "here"
LIFT, SLIP = 0.1, 0.02  # m that an object is lifted, and may slip meanwhile
FRAME_RATE, FILM_RATE = (
    2.5,
    10.0,
)  # frames of the cell in a simulated second, of the film in a real one
WHITE, GREEN = (255, 255, 255), (40, 230, 40)  # the true grasp and the one that was used

console = Console(stderr=True)


@dataclass(frozen=True)
class Picked:
    """How a pick went: the cap's number, whether it was held and lifted, where the fingers went.

    Attributes:
        cap: number of the cap.
        held: it was lifted, and is between the fingers.
        error_mm: from the grasp that was used to where the taught one is on that cap; None if no
            grasp was used.
        score: of the grasp.
        reason: of a failure, and what the node says.
    """

    cap: int
    held: bool
    error_mm: float | None
    score: float | None
    reason: str


def run_pick_demo(
    weights: Path, out: Path, picks: int = PICKS, viewer: bool = False
) -> dict[str, Any]:
    """Teach once, pick several times; writes pictures, a film and a table.

    Args:
        weights: of the model.
        out: folder of results.json, table.txt, picks.mp4, taught.png and pick_*.png.
        picks: how many caps are picked.
        viewer: show the cell in a window meanwhile.

    Returns:
        The figures, as in results.json.

    Raises:
        DenseDescError: unusable weights, a machine that cannot render, or a node does not answer.
    """
    from dense_desc_ros.nodes.cell_graph import running_cell

    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "references", ignore_errors=True)
    cell = {
        "category": CATEGORY,
        "first": TAUGHT,
        "frame_rate": FRAME_RATE,
        "viewer": "true" if viewer else "false",
    }
    console.rule("1/3  The cell, the node that sees and the node that picks start")
    with (
        Film(out / "picks.mp4", FILM_RATE) as film,
        running_cell(weights, out, cell, film.add) as user,
    ):
        user.wait_until_connected()
        console.rule("2/3  A grasp is taught on one cap, by one click")
        lesson = _teach(user, out)
        console.rule(f"3/3  {picks} other caps, in other places, are picked there")
        done = [_pick(user, lesson, number, out) for number in range(1, picks + 1)]
    return _report(done, out)


def _teach(user: "CellUser", out: Path) -> Lesson:
    """Show the node one grasp, as a person would with a click and the robot's hand led there."""
    user.reset(seed=0, first=TAUGHT)
    frame, T_base_camera = user.see()
    (there,) = user.objects()
    point, grasp = next(iter(TAUGHT_GRASPS[CATEGORY].items()))
    at = (np.linalg.inv(there.T_base_object) @ np.append(there.points[point], 1))[:3]
    T_object_grasp = grasp.T_object_grasp(at)
    T_base_grasp = there.T_base_object @ T_object_grasp
    clicked = click(frame, T_base_camera, there.points[point], T_base_grasp)
    user.register(REFERENCE, clicked, grasp.opening_width)
    _draw(out / "taught.png", frame, T_base_camera, grasp.opening_width, {WHITE: T_base_grasp})
    u, v = clicked.pixel
    console.print(f"cap {TAUGHT} is to be grasped at its {point}: a click on ({u:.0f}, {v:.0f})")
    return Lesson.of(make_object(CATEGORY, TAUGHT), at, T_object_grasp)


def _pick(user: "CellUser", lesson: Lesson, number: int, out: Path) -> Picked:
    """Have another cap picked, and compare with the truth."""
    cap = TAUGHT + number
    user.reset(seed=number, first=cap)
    frame, T_base_camera = user.see()
    (before,) = user.objects()
    expected = lesson.expected(make_object(CATEGORY, cap), before.T_base_object)
    result = user.pick(reference=REFERENCE, retreat_distance=LIFT)
    user.see_anew()
    (after,) = user.objects()
    rise = after.T_base_object[2, 3] - before.T_base_object[2, 3]
    error_mm, shown = None, {} if expected is None else {WHITE: expected}
    if result.has_grasp:
        used = pose_matrix(result.grasp.pose.pose)
        shown[GREEN] = used
        if expected is not None:
            error_mm = 1e3 * float(np.linalg.norm(used[:3, 3] - expected[:3, 3]))
    _draw(out / f"pick_{number}.png", frame, T_base_camera, result.grasp.opening_width, shown)
    picked = Picked(
        cap,
        bool(result.success and result.held and rise > LIFT - SLIP),
        error_mm,
        float(result.grasp.score) if result.has_grasp else None,
        "" if result.success else f"{result.reason}: {result.message}",
    )
    console.print(f"cap {cap}: {'held' if picked.held else 'not held'}, {result.message}")
    return picked


def _draw(
    path: Path,
    frame: RgbdFrame,
    T_base_camera: FloatArray,
    opening_width: float,
    grasps: Mapping[tuple[int, int, int], FloatArray],
) -> None:
    """Write what the camera saw with grippers at grasps (4, 4), base frame, by their colours."""
    picture = frame.image.copy()
    for color, T_base_grasp in grasps.items():
        pose = np.linalg.inv(T_base_camera) @ T_base_grasp
        draw_gripper(picture, frame.camera, pose, opening_width, color)
    write_image(path, picture)


def _report(picks: Sequence[Picked], out: Path) -> dict[str, Any]:
    errors = [pick.error_mm for pick in picks if pick.error_mm is not None]
    figures = {
        "held": sum(pick.held for pick in picks),
        "picks": len(picks),
        "semantic_error_mm_median": statistics.median(errors) if errors else None,
        "each": [asdict(pick) for pick in picks],
    }
    write_atomically(out / "results.json", json.dumps(figures, indent=2).encode())
    table = Table("cap", "held", "error, mm", "score", "reason")
    for pick in picks:
        error, score = (
            "-" if value is None else f"{value:.{digits}f}"
            for value, digits in ((pick.error_mm, 1), (pick.score, 2))
        )
        table.add_row(str(pick.cap), "yes" if pick.held else "no", error, score, pick.reason)
    text = f"{figures['held']} of {len(picks)} caps held at the point that was taught on another"
    if errors:
        text += f", median error {statistics.median(errors):.1f} mm"
    with (out / "table.txt").open("w") as file:
        Console(file=file, width=120).print(table, text)
    console.print(table, text)
    console.print(f"film, pictures, table and figures: {out}/ (begin with picks.mp4)")
    return figures
