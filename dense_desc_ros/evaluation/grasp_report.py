"""What a benchmark of grasps leaves in a folder: its figures, and pictures of some grasps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.data.images import write_image
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.grasp_figures import WRONG, Example
from dense_desc_ros.files import write_atomically
from dense_desc_ros.gripper_drawing import draw_gripper

RESULTS, TABLE, BEST, WORST = "results.json", "table.txt", "best.png", "worst.png"
TRUTH, GOOD, BAD = (255, 255, 255), (40, 230, 40), (255, 50, 30)


def write_grasp_report(out: Path, figures: dict[str, Any], examples: Sequence[Example]) -> None:
    """Write `out`/results.json, table.txt, best.png and worst.png.

    In the pictures, each row shows where a grasp was registered, and where it was found: the true
    gripper is white, the one published green, or red if it is wrong.

    Args:
        out: the folder.
        figures: what `grasp_figures.summarize` returns.
        examples: grasps, best first.

    Raises:
        DataError: a file cannot be written.
    """
    content = {RESULTS: json.dumps(figures, indent=2), TABLE: _table(figures["methods"])}
    for name, text in content.items():
        try:
            write_atomically(out / name, text.encode())
        except OSError as error:
            raise DataError(f"cannot write {out / name}: {error}") from error
    half = len(examples) // 2
    for name, shown in ((BEST, examples[:half]), (WORST, examples[half:][::-1])):
        if shown:
            write_image(out / name, np.vstack([_row(example) for example in shown]))


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [[*rows[0]], *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(example: Example) -> npt.NDArray[np.uint8]:
    reference, picture = example.reference.image.copy(), example.frame.image.copy()
    draw_gripper(reference, example.reference.camera, example.registered, np.nan, TRUTH)
    draw_gripper(picture, example.frame.camera, example.truth, np.nan, TRUTH)
    color = BAD if example.error > WRONG else GOOD
    draw_gripper(picture, example.frame.camera, example.found, np.nan, color)
    label = f"{1e3 * example.error:.0f} mm"
    cv2.putText(picture, label, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, color, 2, cv2.LINE_AA)
    return np.hstack([reference, picture])
