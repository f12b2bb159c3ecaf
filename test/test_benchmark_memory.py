"""The memory of a training step: the tracker against real allocations, and the benchmark's rows."""

import copy

import numpy as np
import psutil
import pytest
import torch
from scipy.special import logsumexp
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import default_collate

from dense_desc_ros.data.posed_formats import open_posed_frames
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.evaluation.allocations import AllocationTracker
from dense_desc_ros.evaluation.benchmark_memory import benchmark_memory, tracked_peak
from dense_desc_ros.evaluation.training_step import run_step, write_board
from dense_desc_ros.evaluation.usual_ntxent import (
    TEMPERATURE,
    UsualNtxent,
    by_broadcast,
    by_product,
)
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, TrainingConfig, TwinsConfig
from dense_desc_ros.training.module import DescriptorTraining
from dense_desc_ros.training.objectives.keypoint import KeypointConfig
from dense_desc_ros.training.twins import TwinPairs

MIB = 2**20


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """What a small training step works on: a module and a batch."""
    folder = tmp_path_factory.mktemp("board")
    write_board(folder, (192, 256))
    config = TrainingConfig(
        twins=TwinsConfig(str(folder), crop=(192, 256)),
        keypoint=KeypointConfig(),
        network=NetworkConfig("resnet18", 8, 16, keypoints=32),
        optimisation=OptimisationConfig(batch_size=1),
    )
    module = DescriptorTraining(DescriptorNetwork(config.network), config)
    return module, default_collate([TwinPairs(open_posed_frames(folder), [], config, 0, 1)[0]])


def two_steps(module, batch):
    optimizer = module.configure_optimizers()["optimizer"]
    for _ in range(2):
        run_step(module, optimizer, batch)


def test_storages_count_once_and_while_anything_needs_them():
    with AllocationTracker() as tracker:
        x = torch.ones(1000, requires_grad=True)  # 4000 bytes
        y = x.view(10, 100)[2:5].T
        assert tracker.current == 4000
        squared = x.exp()
        total = squared.sum()
        del squared  # autograd still needs it
        assert tracker.current == 8000 + 4
        total.backward()
        assert tracker.current == 8000 + 4  # the gradient, instead of the exponentials
        assert tracker.peak >= 8000 + 4 + 4000
        del total, y
        x.grad = None
        assert tracker.current == 4000
        tracker.reset_peak()
        assert tracker.peak == 4000


def test_the_count_on_fake_tensors_is_that_on_real_ones(step):
    module, batch = copy.deepcopy(step)
    with AllocationTracker() as tracker:
        two_steps(module, batch)
    assert tracked_peak(*step) == tracker.peak


def test_the_count_is_what_the_allocator_hands_out(step):
    """To 5 %: the profiler also sees what kernels allocate and free within themselves."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        two_steps(*copy.deepcopy(step))
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    allocated = np.cumsum([event.nbytes() for event in events])
    assert 1 <= allocated.max() / tracked_peak(*step) < 1.05


@pytest.mark.parametrize("similarity", [by_broadcast, by_product])
def test_the_usual_loss_is_its_formula(similarity):
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(2, 3, 4, 6)).astype(np.float32))
    images = torch.zeros(1, 2, 3, 8, 12, dtype=torch.uint8)
    pixels = torch.tensor([[[[1.0, 2], [11, 7], [5, 0]], [[3, 3], [0, 7], [9, 1]]]])
    network = DescriptorNetwork(NetworkConfig("resnet18", 4, 3))
    batch = {"images": images, "pixels": pixels}
    loss = UsualNtxent(similarity)(network, features, batch)["loss"]

    full = functional.interpolate(features, scale_factor=2, mode="bilinear").numpy()
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    terms = []
    for one, other in ((0, 1), (1, 0)):
        anchors = [tuple(p[::-1]) for p in pixels[0, one].int().tolist()]
        for anchor, place in zip(anchors, pixels[0, other].int().tolist(), strict=True):
            z = full[one][:, *anchor]
            positive = z @ full[other][:, place[1], place[0]]
            all_pixels = [(v, u) for v in range(8) for u in range(12)]
            negatives = [z @ full[one][:, *p] for p in all_pixels if p not in anchors]
            negatives += [z @ full[other][:, *p] for p in all_pixels]
            every = np.array([positive, *negatives]) / TEMPERATURE
            terms.append(logsumexp(every) - positive / TEMPERATURE)
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-4)


def test_rows_hold_what_others_rely_on():
    size, dims = (64, 64), (3, 32)
    result = benchmark_memory(dims, (16,), "resnet18", 16, size, repeats=1, device="cpu")
    rows = {(row["objective"], row["d"]): row for row in result["results"]}
    assert set(rows) == {(o, d) for o in ("keypoint", "ntxent", "ntxent-matmul") for d in dims}
    for row in rows.values():
        assert row["step_s"] > 0 and row["method"] == "fake tensors"
    assert rows["keypoint", 3]["keypoints"] == 16 and rows["ntxent", 3]["keypoints"] == 128
    network = DescriptorNetwork(NetworkConfig("resnet18", 16, 32, keypoints=16))
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    ours = rows["keypoint", 32]["peak_bytes"]
    # Weights, their gradients and Adam's two moments, and little more at this size; N x H x W x D
    # floats only in the usual way.
    assert 4 * weights < ours < 1.2 * 4 * weights
    assert rows["ntxent", 32]["peak_bytes"] > 3 * weights + 4 * 128 * 64 * 64 * 32
    assert rows["ntxent-matmul", 32]["peak_bytes"] < 1.2 * 4 * weights
    assert ours < 1.01 * rows["keypoint", 3]["peak_bytes"]


def test_memory_alone_needs_no_memory():
    """Descriptors of 480x640x4096 would be 5 GB each, their products with anchors 644 GB."""
    before = psutil.Process().memory_info().rss
    result = benchmark_memory((4096,), (), "resnet18", 32, repeats=0, device="cpu")
    usual = result["results"][0]
    assert usual["objective"] == "ntxent" and usual["step_s"] is None
    assert usual["peak_bytes"] > 128 * 480 * 640 * 4096 * 4
    assert psutil.Process().memory_info().rss - before < 600 * MIB


def test_an_unknown_device_is_refused():
    with pytest.raises(InvalidInputError, match="unknown device 'tpu'"):
        benchmark_memory(device="tpu")
