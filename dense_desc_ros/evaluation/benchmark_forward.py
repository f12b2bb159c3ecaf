"""The ways to run a network on one picture: their times, taken in turns, and how far they agree.

Beside them a ResNet-34 at stride 32 is timed, the network of "Training Dense Object Nets: A Novel
Approach" (2023): weights that ship are to take no longer. In bfloat16 by PyTorch's autocast, as
anyone may run it, and by `folding`, as this package runs every network.
"""

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.export.export import made_picture
from dense_desc_ros.export.onnx_network import import_library
from dense_desc_ros.export.onnx_writer import export_onnx
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig

BASELINE = "torch"  # as the node runs safetensors: channels last, float32
PLAIN, PLAIN_CONFIG = "ResNet-34 at stride 32", NetworkConfig("resnet34", 32)
RUNTIME = "onnx", "onnxscript", "onnxruntime"
Forward = Callable[[Tensor], Tensor]


def benchmark_forward(
    weights: Path | None, backbone: str, output_stride: int, threads: list[int], repeats: int
) -> dict[str, Any]:
    """Measure a picture of 480x640 on the processor.

    Args:
        weights: of the model; None takes random ones.
        backbone, output_stride: of random ones.
        threads: how many to use.
        repeats: each time is the median of so many; all ways take turns.

    Returns:
        `results`: for each number of threads and each way `ms`, and `cpu_ms` of all threads, which
        other processes disturb less; `speedup` and `cpu_speedup` over BASELINE in each; and
        `largest_difference` of any feature from it, over the greatest of them (None for a network
        of its own); and `preprocessing_ms`, from pixels to the network's input.
    """
    if weights:
        model = DescriptorModel.load(weights, "cpu", "float32")
    else:
        network = DescriptorNetwork(NetworkConfig(backbone, output_stride))
        model = DescriptorModel(network, device="cpu")
    before = torch.get_num_threads()
    results: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = None
            if all(importlib.util.find_spec(library) for library in RUNTIME):
                file = Path(folder) / "network.onnx"
                export_onnx(model, file)
            for count in threads:
                torch.set_num_threads(count)
                results += _measure(model, file, count, repeats)
            picture = made_picture()
            preprocessing = [_seconds(model.preprocess, picture)[0] for _ in range(repeats)]
    finally:
        torch.set_num_threads(before)
    return {"results": results, "preprocessing_ms": 1e3 * statistics.median(preprocessing)}


def _measure(
    model: DescriptorModel, file: Path | None, threads: int, repeats: int
) -> list[dict[str, Any]]:
    ways = _ways(model, file, threads)
    pixels = model.preprocess(made_picture())
    features = {name: forward(pixels) for name, forward in ways.items()}  # warms up and compiles
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in track(range(repeats), f"{threads} threads", console=Console(stderr=True)):
        for name, forward in ways.items():
            times[name].append(_seconds(forward, pixels))
    medians = {
        name: [statistics.median(kind) for kind in zip(*times[name], strict=True)] for name in ways
    }
    expected = features[BASELINE]
    return [
        {
            "threads": threads,
            "way": name,
            "ms": 1e3 * wall,
            "cpu_ms": 1e3 * cpu,
            "speedup": medians[BASELINE][0] / wall,
            "cpu_speedup": medians[BASELINE][1] / cpu,
            "largest_difference": None
            if name.startswith(PLAIN)
            else float((features[name] - expected).abs().max() / expected.abs().max()),
        }
        for name, (wall, cpu) in medians.items()
    ]


def _ways(model: DescriptorModel, file: Path | None, threads: int) -> dict[str, Forward]:
    network, plain = model.network, DescriptorNetwork(PLAIN_CONFIG)
    planar = deepcopy(network).to(memory_format=torch.contiguous_format)
    compiled = torch.compile(deepcopy(network))
    half = DescriptorModel(deepcopy(network), device="cpu", precision="bfloat16")
    ways: dict[str, Forward] = {
        BASELINE: model.forward,
        "torch, channels first": lambda pixels: planar(pixels.contiguous()),
        "torch, bfloat16": half.forward,
        "torch.compile": compiled,
        PLAIN: DescriptorModel(plain, device="cpu").forward,
        f"{PLAIN}, autocast": torch.autocast("cpu", torch.bfloat16)(plain),
        f"{PLAIN}, bfloat16": DescriptorModel(plain, "cosine", "cpu", "bfloat16").forward,
    }
    if file:
        ways["onnxruntime"] = DescriptorModel.load(file).forward
        if importlib.util.find_spec("openvino"):
            ways["openvino"] = _openvino(file, threads)
    return {name: torch.no_grad()(forward) for name, forward in ways.items()}


def _openvino(file: Path, threads: int) -> Forward:
    openvino = import_library("openvino")
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(file, "CPU", options)
    return lambda pixels: torch.from_numpy(compiled(pixels.numpy())["features"].copy())


def _seconds(work: Callable[[Any], object], argument: object) -> tuple[float, float]:
    """How long it takes, and for how long it has processors."""
    start, cpu = time.perf_counter(), time.process_time()
    work(argument)
    return time.perf_counter() - start, time.process_time() - cpu
