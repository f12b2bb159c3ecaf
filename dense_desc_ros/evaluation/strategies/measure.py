"""What is measured of one trained strategy: accuracy on every split, time and memory."""

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.evaluation.allocations import AllocationTracker
from dense_desc_ros.evaluation.evaluate import evaluate, summarize
from dense_desc_ros.evaluation.strategies.grid import DATA_OF_SPLIT, NOVEL, TURNED, TURNS
from dense_desc_ros.evaluation.training_step import run_step
from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.config import TrainingConfig
from dense_desc_ros.training.data import TrainingData
from dense_desc_ros.training.module import DescriptorTraining

FIGURES = ("auc", "auc_cosine", "median_px", "auroc")
TIMED_STEPS, TIMED_PICTURES = 3, 5


def measure_accuracy(weights: Path, data: Path, pairs: int, device: str) -> dict[str, Any]:
    """Figures of trained weights on the data sets in a folder.

    Returns:
        `splits`, by name what `evaluate.summarize` gives; `turned`, the AUC of the same weights in
        TURNS quarter turns and smoothed (see `NetworkConfig`), by name of those of TURNED.
    """
    model = DescriptorModel.load(weights, device, "float32")
    turned = model.used_with(turns=TURNS, smoothed=True)
    return {
        "splits": {split: _measure_split(model, data, split, pairs) for split in DATA_OF_SPLIT},
        "turned": {split: _measure_split(turned, data, split, pairs)["auc"] for split in TURNED},
    }


def _measure_split(model: DescriptorModel, data: Path, split: str, pairs: int) -> dict[str, Any]:
    frames = open_posed_frames(data / DATA_OF_SPLIT[split])
    figures = summarize(evaluate(model, frames, split, seeds=(0,), pairs=pairs))
    return {key: figures[key] for key in FIGURES if key in figures}


def measure_costs(config: TrainingConfig, weights: Path, data: Path, device: str) -> dict[str, Any]:
    """What a step of the training and a match cost.

    Returns:
        `step_s`, median time of a training step whose data are there; `training_s`, that of all
        steps; `peak_bytes` of a step, see `allocations`, on a GPU as CUDA counts them; and
        `match_ms`, median time to describe a picture and match 16 points in it.
    """
    model = DescriptorModel.load(weights, device, "float32")
    step_s, peak = _measure_step(config, model.device)
    return {
        "step_s": step_s,
        "training_s": step_s * config.optimisation.steps,
        "peak_bytes": peak,
        "match_ms": _measure_match(model, data / NOVEL),
    }


def _measure_step(config: TrainingConfig, device: torch.device) -> tuple[float, int]:
    pairs = TrainingData(config, workers=0).pairs(0, config.optimisation.batch_size)
    items = [pairs[i] for i in range(config.optimisation.batch_size)]
    batch = {name: values.to(device) for name, values in default_collate(items).items()}
    module = DescriptorTraining(DescriptorNetwork(config.network), config).to(device)
    optimizer = module.configure_optimizers()["optimizer"]
    run_step(module, optimizer, batch)  # the optimizer's state is there from now on
    with AllocationTracker() as tracker:
        run_step(module, optimizer, batch)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        run_step(module, optimizer, batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else tracker.peak
    return statistics.median(seconds), peak


def _measure_match(model: DescriptorModel, path: Path) -> float:
    image = open_posed_frames(path, canonical=False)[0].image
    height, width = image.shape[:2]
    points = [(width * (i + 0.5) / 16, height / 2) for i in range(16)]
    milliseconds = []
    for _ in range(TIMED_PICTURES + 1):  # the first one warms up
        start = time.perf_counter()
        described = model.describe(image)
        described.match(described.sample(points)).pixels.cpu()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return statistics.median(milliseconds[1:])
