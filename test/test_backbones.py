"""Backbones beside the basic ResNets: models of timm, frozen ones, weights from files."""

import logging
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dense_desc_ros.backbones import TIMM, make_resnet
from dense_desc_ros.data.images import write_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError, WeightsError
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig
from dense_desc_ros.training.config import OptimisationConfig, PicturesConfig, TrainingConfig
from dense_desc_ros.training.objectives.ntxent import NtxentConfig
from dense_desc_ros.training.train import train

WITHOUT_TIMM = "timm, an extra that only its own backbones need, is not installed"
SMALL = {  # of each kind, random: nothing is fetched
    "vit_tiny_patch16_224": 8,
    "vit_small_patch14_dinov2": 16,
    "vit_small_patch16_dinov3": 32,
    "convnext_atto": 8,
    "resnet18": 4,
}


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason=WITHOUT_TIMM)


def picture(height=70, width=100):
    noise = np.random.default_rng(0).normal(128, 40, (12, 16, 3))
    return np.clip(cv2.resize(noise, (width, height)), 0, 255).astype(np.uint8)


def run_config(folder, network, **changes):
    write_image(folder / "pictures" / "0.png", picture(160, 200))
    return TrainingConfig(
        pictures=PicturesConfig(str(folder / "pictures"), crop=(64, 64)),
        ntxent=NtxentConfig(points=32),
        network=network,
        optimisation=OptimisationConfig(steps=2, batch_size=1),
        **changes,
    )


@pytest.mark.parametrize("stride", [4, 32])
def test_resnet50_is_a_backbone_like_the_others(stride, tmp_path):
    torch.manual_seed(0)
    model = DescriptorModel(DescriptorNetwork(NetworkConfig("resnet50", stride, 5)), device="cpu")
    described = model.describe(picture())
    assert described.features.shape == (96 // stride, 128 // stride, 5)
    model.save(tmp_path / "weights.safetensors")
    loaded = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu", "float32")
    assert loaded.fingerprint == model.fingerprint
    torch.testing.assert_close(loaded.describe(picture()).features, described.features)


def test_the_backbone_may_start_from_a_file(tmp_path, caplog):
    torch.manual_seed(0)
    resnet, path = make_resnet("resnet18", False, None), tmp_path / "backbone.safetensors"
    save_file({k: v.contiguous() for k, v in resnet.state_dict().items()}, path)
    config = run_config(tmp_path, NetworkConfig("resnet18", 32, 4), backbone_weights=str(path))
    with caplog.at_level(logging.INFO):
        weights = train(replace(config, frozen=True), tmp_path / "run", workers=0, device="cpu")
    assert f"the backbone starts from {path}" in caplog.text
    trained = DescriptorModel.load(weights, "cpu").network.state_dict()
    torch.testing.assert_close(trained["stem.0.weight"], resnet.conv1.weight)
    torch.testing.assert_close(trained["stem.1.running_mean"], resnet.bn1.running_mean)
    torch.testing.assert_close(trained["stages.3.1.bn2.weight"], resnet.layer4[1].bn2.weight)
    untrained = DescriptorNetwork(config.network).state_dict()
    assert not torch.equal(
        trained["projection.1.running_var"], untrained["projection.1.running_var"]
    )


def test_weights_of_imagenet_are_not_to_be_had_for_resnets_of_this_package():
    with pytest.raises(WeightsError, match="resnet24"):
        DescriptorNetwork(NetworkConfig("resnet24", 32, 4), pretrained=True)


@pytest.mark.parametrize("content", [b"no tensors", None])
def test_files_that_are_no_weights_of_the_backbone_are_refused(content, tmp_path):
    path = tmp_path / "backbone.safetensors"
    if content is None:
        save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="backbone.safetensors"):
        DescriptorNetwork(NetworkConfig("resnet18", 32, 4), backbone_weights=path)


def test_without_timm_its_backbones_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InvalidInputError, match="pip install timm"):
        DescriptorNetwork(NetworkConfig(f"{TIMM}vit_tiny_patch16_224", 16, 4))


@pytest.mark.parametrize("name", SMALL)
def test_models_of_timm_describe_pictures_of_any_size(name, timm, tmp_path):
    torch.manual_seed(0)
    network = DescriptorNetwork(NetworkConfig(f"{TIMM}{name}", SMALL[name], 6))
    model = DescriptorModel(network, device="cpu")
    for height, width in ((70, 100), (96, 64)):
        found = model.describe(picture(height, width))
        whole = [-(-side // 32) * 32 // SMALL[name] for side in (height, width)]
        assert found.features.shape == (*whole, 6) and found.features.isfinite().all()
        at = found.sample([(width / 2, height / 2)])
        np.testing.assert_allclose(found.match(at).pixels[0], (width / 2, height / 2), atol=2)
    model.save(tmp_path / "weights.safetensors")
    loaded = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu", "float32")
    assert loaded.fingerprint == model.fingerprint
    torch.testing.assert_close(
        loaded.describe(picture()).features, model.describe(picture()).features
    )


def test_a_vision_transformer_is_trained_frozen_or_whole(timm, tmp_path):
    name = "vit_tiny_patch16_224"
    torch.manual_seed(0)
    source, path = timm.create_model(name, dynamic_img_size=True), tmp_path / "vit.safetensors"
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, path)
    network = NetworkConfig(f"{TIMM}{name}", 16, 4)
    for frozen in (True, False):
        config = run_config(tmp_path, network, backbone_weights=str(path), frozen=frozen)
        weights = train(config, tmp_path / f"run_{frozen}", workers=0, device="cpu")
        trained = DescriptorModel.load(weights, "cpu").network.state_dict()
        before = source.state_dict()
        unchanged = [
            torch.equal(trained[f"backbone.model.{key}"], before[key])
            for key in ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "norm.weight")
        ]
        assert all(unchanged) if frozen else not any(unchanged)


def test_what_timm_has_not_is_refused_with_what_it_has(timm, tmp_path):
    with pytest.raises(InvalidInputError, match=r"no model 'vit_of_mine'; .*vit_"):
        DescriptorNetwork(NetworkConfig(f"{TIMM}vit_of_mine", 16, 4))
    with pytest.raises(InvalidInputError, match="no feature map of stride 8"):
        DescriptorNetwork(NetworkConfig(f"{TIMM}levit_128s", 8, 4))
    with pytest.raises(InvalidInputError, match="does not take pictures of any size"):
        DescriptorNetwork(NetworkConfig(f"{TIMM}levit_128s", 16, 4))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        network = NetworkConfig(f"{TIMM}vit_tiny_patch16_224", 16, 4)
        DescriptorNetwork(network, backbone_weights=tmp_path / "weights.pth")
