"""The figures of several evaluations side by side, and beside those of the paper."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dense_desc_ros.data.reading import read_json
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.report import RESULTS
from dense_desc_ros.evaluation.splits import SPLITS
from dense_desc_ros.training.config import OBJECTIVES

SHOWN = ("auc", "auc_std", "auc_cosine", "median_px")
# "Training Dense Object Nets: A Novel Approach" (2023): AUC of PCK@k on novel views, by D.
PAPER_AUC = {
    "keypoint": {
        3: 0.914,
        8: 0.928,
        16: 0.945,
        32: 0.950,
        64: 0.953,
        128: 0.957,
        256: 0.959,
        512: 0.962,
    },
    "ntxent": {3: 0.922, 8: 0.933, 16: 0.948, 32: 0.953},
}


def describe_training(model: DescriptorModel) -> dict[str, Any]:
    """What was trained, by the notes in the weights file.

    Returns:
        `d`, `backbone`; `objective` (joined by + if several) and optimisation `steps`, None where
        the notes do not say.
    """
    training = json.loads(model.notes.get("training", "{}"))
    steps = model.notes.get("steps")
    return {
        "d": model.config.network.descriptor_dim,
        "backbone": model.config.network.backbone,
        "objective": "+".join(name for name in OBJECTIVES if training.get(name)) or None,
        "steps": None if steps is None else int(steps),
    }


def benchmark_accuracy(reports: Sequence[Path]) -> dict[str, Any]:
    """The figures that `dense-desc evaluate` left in folders.

    Returns:
        `results`: split by split, rows of `split`, `objective`, `d`, `backbone`, `steps`, `auc`,
        `auc_std`, `auc_cosine`, `median_px`, `auroc` (split absent only, else None) and `paper_auc`
        (None where the paper says nothing).

    Raises:
        DataError: a folder holds no figures of an evaluation.
    """
    rows = [_row(report / RESULTS) for report in reports]
    order = {split: i for i, split in enumerate(SPLITS)}
    rows.sort(key=lambda row: (order[row["split"]], str(row["objective"]), row["d"]))
    return {"results": rows}


def _row(path: Path) -> dict[str, Any]:
    figures = read_json(path)
    try:
        split, objective, dim = figures["split"], figures["objective"], figures["d"]
        known = PAPER_AUC.get(objective, {}) if split == "novel-view" else {}
        return {
            "split": SPLITS[SPLITS.index(split)],
            "objective": objective,
            "d": int(dim),
            "backbone": figures["backbone"],
            "steps": figures["steps"],
            **{name: figures[name] for name in SHOWN},
            "auroc": figures.get("auroc"),
            "paper_auc": known.get(dim),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no result of dense-desc evaluate: {error}") from error
