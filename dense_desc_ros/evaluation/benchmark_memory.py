"""How much memory one training step needs, by our objective and by the usual one.

On a GPU the peak is what CUDA's allocator says. Elsewhere the very same step runs on fake tensors,
which have shapes but no content, under `allocations.AllocationTracker`, which follows each storage
from its birth to its death: parameters, gradients, the optimizer's state, the batch, and all that
autograd keeps for the backward pass. This is exact, whatever the machine has; workspace that a
kernel allocates and frees within itself (a convolution's, some ten megabytes) is not in it.

The step measured is the second one: then the optimizer has its state, as in all steps to follow.
"""

import copy
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils.data import default_collate

from dense_desc_ros.data.posed import PosedFrames
from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.allocations import AllocationTracker
from dense_desc_ros.evaluation.training_step import run_step, write_board
from dense_desc_ros.evaluation.usual_ntxent import UsualNtxent, by_broadcast, by_product
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, TrainingConfig, TwinsConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives import Batch, Objective
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.objectives.ntxent import NtxentConfig
from dense_desc_ros.training.twins import TwinPairs

DIMS = (3, 8, 16, 32, 64, 128, 256, 512)
CORRESPONDENCES = 128
USUAL: dict[str, Objective] = {
    "ntxent": UsualNtxent(by_broadcast),
    "ntxent-matmul": UsualNtxent(by_product),
}
# "Training Dense Object Nets: A Novel Approach" (2023): GB, 480x640, one pair, by D.
PAPER_KEYPOINTS = 128
PAPER_GB = {
    "keypoint": {
        3: 4.763,
        8: 4.785,
        16: 4.832,
        32: 4.872,
        64: 4.913,
        128: 5.409,
        256: 6.551,
        512: 7.915,
    },
    "ntxent": {3: 9.377, 8: 13.717, 16: 20.479, 32: 30.067},
}
LONGEST = 20.0  # s of real steps in a row of the table, unless the first one alone takes longer
MEMORY_SHARE = 0.6  # of the machine's memory; what needs more is not run for real


class Case(NamedTuple):
    """A row of the table. `points` are N keypoints, or correspondences for the usual way."""

    objective: str
    dim: int
    points: int


def benchmark_memory(
    dims: Sequence[int] = DIMS,
    keypoints: Sequence[int] = (128, 16),
    backbone: str = "resnet34",
    output_stride: int = 8,
    size: tuple[int, int] = (480, 640),
    repeats: int = 3,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure one training step on one pair of views.

    Args:
        dims: D, lengths of descriptors.
        keypoints: N, numbers of keypoints of our objective.
        backbone, output_stride: of the network, the same for all objectives.
        size: (height, width) of a view, multiples of 32.
        repeats: real steps timed; 0 runs none.
        device: "auto" (a GPU if there is one), "cpu" or "cuda".

    Returns:
        `results`, a list of `objective` ("keypoint", ours; "ntxent", the usual way with
        CORRESPONDENCES correspondences; "ntxent-matmul", the same loss by matrix products), `d`,
        `keypoints` (correspondences for the usual way), `peak_bytes`, `step_s` (median, data
        preparation included; None if not run for real), `method` and `paper_gb` (None where the
        paper says nothing); and `backbone`, `output_stride`, `size`, `threads`.

    Raises:
        InvalidInputError: an unknown backbone, stride or device, or a size that does not fit.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InvalidInputError(f"unknown device {device!r}: use auto, cpu or cuda")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    cases = [Case("keypoint", dim, n) for n in keypoints for dim in dims]
    cases += [Case(name, dim, CORRESPONDENCES) for name in USUAL for dim in dims]
    results = []
    with tempfile.TemporaryDirectory(prefix="benchmark_memory_") as folder:
        write_board(Path(folder), size)
        frames = open_posed_frames(folder)
        for case in track(cases, "training steps", console=Console(stderr=True), transient=True):
            network = NetworkConfig(backbone, output_stride, case.dim)
            config = _configure(case, network, folder, size)
            results.append(_measure(case, config, frames, repeats, torch.device(device)))
    return {
        "results": results,
        "backbone": backbone,
        "output_stride": output_stride,
        "size": list(size),
        "threads": torch.get_num_threads(),
    }


def tracked_peak(module: DescriptorTraining, batch: Batch) -> int:
    """Bytes of the second training step at its peak, without running it; see the module's text."""
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        module, batch = copy.deepcopy((module, batch))
    with mode, AllocationTracker() as tracker:
        optimizer = module.configure_optimizers()["optimizer"]
        run_step(module, optimizer, batch)
        tracker.reset_peak()
        run_step(module, optimizer, batch)
    return tracker.peak


def _configure(
    case: Case, network: NetworkConfig, folder: str, size: tuple[int, int]
) -> TrainingConfig:
    twins = TwinsConfig(folder, crop=size)
    optimisation = OptimisationConfig(batch_size=1)
    if case.objective == "keypoint":
        network = NetworkConfig(
            network.backbone, network.output_stride, case.dim, keypoints=case.points
        )
        return TrainingConfig(
            twins=twins, keypoint=KeypointConfig(), network=network, optimisation=optimisation
        )
    ntxent = NtxentConfig(points=case.points)
    return TrainingConfig(twins=twins, ntxent=ntxent, network=network, optimisation=optimisation)


def _measure(
    case: Case, config: TrainingConfig, frames: PosedFrames, repeats: int, device: torch.device
) -> dict[str, Any]:
    module = DescriptorTraining(DescriptorNetwork(config.network), config)
    if case.objective in USUAL:
        module.objective = USUAL[case.objective]
    pairs = TwinPairs(frames, [], config, first=0, length=repeats + 1)
    peak, method = tracked_peak(module, default_collate([pairs[0]])), "fake tensors"
    seconds: list[float] = []
    if repeats and peak < MEMORY_SHARE * _memory(device):
        seconds = _run(module, pairs, device)
        if device.type == "cuda":
            peak, method = torch.cuda.max_memory_allocated(device), "max_memory_allocated"
    return {
        "objective": case.objective,
        "d": case.dim,
        "keypoints": case.points,
        "peak_bytes": peak,
        "step_s": statistics.median(seconds) if seconds else None,
        "method": method,
        "paper_gb": _published(case),
    }


def _published(case: Case) -> float | None:
    if case.points != PAPER_KEYPOINTS:
        return None
    return PAPER_GB.get(case.objective, {}).get(case.dim)


def _run(module: DescriptorTraining, pairs: TwinPairs, device: torch.device) -> list[float]:
    """Seconds of real steps on pairs of views, the first of which only warms up.

    Unless that one takes longer than LONGEST: then it counts and is the only one.
    """
    module = module.to(device)
    optimizer = module.configure_optimizers()["optimizer"]
    seconds: list[float] = []
    for index in range(len(pairs)):
        if sum(seconds) > LONGEST:
            break
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = time.perf_counter()
        batch = {
            name: values.to(device) for name, values in default_collate([pairs[index]]).items()
        }
        run_step(module, optimizer, batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:] or seconds


def _memory(device: torch.device) -> int:
    """Bytes of memory that the machine or its GPU has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
