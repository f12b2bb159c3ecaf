"""Exported networks: same answers, valid references, clear refusals. Needs onnx, onnxruntime."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dense_desc_ros.cli import app
from dense_desc_ros.data.images import write_image
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DenseDescError, InvalidInputError, WeightsError
from dense_desc_ros.export import onnx_network
from dense_desc_ros.export.export import TOLERANCES, export_model, largest_difference, made_picture
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PIXELS = [(100.0, 50.0), (333.3, 222.2), (600.0, 400.0)]


@pytest.fixture(scope="module")
def model() -> DescriptorModel:
    """Random weights with keypoints; its normalisations are not those that change nothing."""
    torch.manual_seed(0)
    network = DescriptorNetwork(NetworkConfig("resnet18", 16, 8, keypoints=4, input_stride=2))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    model = DescriptorModel(network, device="cpu")
    model.notes = {"trained": "not at all"}
    return model


@pytest.fixture(scope="module")
def file(model: DescriptorModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of it."""
    folder = tmp_path_factory.mktemp("export")
    model.save(folder / "model.safetensors")
    write_image(folder / "picture.png", made_picture())
    path = folder / "model.onnx"
    result = CliRunner().invoke(
        app,
        ["export", "--weights", str(folder / "model.safetensors"), "--out", str(path)]
        + ["--picture", str(folder / "picture.png"), "--json"],
        catch_exceptions=False,
    )
    assert f'"fingerprint": "{model.fingerprint}"' in result.stdout
    return path


def test_pictures_of_any_size_have_the_same_features(model: DescriptorModel, file: Path) -> None:
    exported = DescriptorModel.load(file)
    rng = np.random.default_rng(0)
    sizes = [(480, 640), (64, 64), (100, 333)]
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    tolerance = TOLERANCES[".onnx"]
    assert largest_difference(model, exported, [made_picture(), *pictures], tolerance) < 1e-4
    turned = file.parent / "turned.onnx"
    export_model(model.used_with(turns=4, smoothed=True), turned)
    largest_difference(
        model.used_with(turns=4, smoothed=True), DescriptorModel.load(turned), pictures, tolerance
    )


def test_references_match_at_the_same_pixels(model: DescriptorModel, file: Path) -> None:
    exported, picture = DescriptorModel.load(file), made_picture()
    assert (exported.fingerprint, exported.config) == (model.fingerprint, model.config)
    assert exported.notes == model.notes
    references = model.describe(picture).sample(PIXELS)
    target = np.roll(picture, (32, -64), axis=(0, 1))
    expected = model.describe(target).match(references)
    found = exported.describe(target).match(references)
    assert (found.pixels - expected.pixels).abs().max() < 0.5
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)


def test_keypoints_are_the_same(model: DescriptorModel, file: Path) -> None:
    features = model.forward(model.preprocess(made_picture()))
    exported = DescriptorModel.load(file)
    for found, expected in zip(
        exported.network.keypoint_maps(features), model.network.keypoint_maps(features), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_another_network_is_noticed(model: DescriptorModel, file: Path) -> None:
    other = DescriptorModel(DescriptorNetwork(model.network.config), device="cpu")
    with pytest.raises(DenseDescError, match="do not use it"):
        largest_difference(other, DescriptorModel.load(file), [made_picture()], 1e-3)


def test_what_an_exported_model_cannot_do_is_told(file: Path, tmp_path: Path) -> None:
    exported = DescriptorModel.load(file)
    with pytest.raises(WeightsError, match="cannot be saved"):
        exported.save(tmp_path / "model.safetensors")
    with pytest.raises(InvalidInputError, match="exported already"):
        export_model(exported, tmp_path / "again.onnx")
    with pytest.raises(WeightsError, match="cannot be saved or changed"):
        exported.used_with(turns=2)
    with pytest.raises(InvalidInputError, match="runs on the processor in float32"):
        DescriptorModel.load(file, device="cuda")
    with pytest.raises(InvalidInputError, match="runs on the processor in float32"):
        DescriptorModel.load(file, precision="bfloat16")


def test_files_that_are_none_are_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(WeightsError, match="cannot read weights"):
        DescriptorModel.load(path)
    path.write_bytes(b"no protocol buffer at all")
    with pytest.raises(WeightsError, match="cannot read weights"):
        DescriptorModel.load(path)
    proto = onnx.load(file)
    proto.graph.node[0].op_type = "Unheard"
    onnx.save(proto, path)
    with pytest.raises(WeightsError, match="does not fit its own description.*Unheard"):
        DescriptorModel.load(path)
    proto = onnx.load(file)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    with pytest.raises(WeightsError, match="holds no model"):
        DescriptorModel.load(path)
    proto = onnx.load(file)
    tensor = proto.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(WeightsError, match="keeps weights in other files"):
        DescriptorModel.load(path)


def test_a_missing_library_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InvalidInputError, match="pip install onnxruntime"):
        DescriptorModel.load(file)
    assert onnx_network.import_library("onnx") is onnx
