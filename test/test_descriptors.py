"""The model: its files, its fingerprint, images of any size."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.ndimage import convolve1d
from typer.testing import CliRunner

from dense_desc_ros.cli import app
from dense_desc_ros.compact_weights import LARGE
from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError, WeightsError
from dense_desc_ros.folding import folded
from dense_desc_ros.network import DescriptorNetwork, NetworkConfig


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34"])
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_every_network_gives_features_of_its_stride_and_length(backbone, stride):
    model = DescriptorModel(DescriptorNetwork(NetworkConfig(backbone, stride, 5)), device="cpu")
    descriptors = model.describe(picture(64, 96))
    assert descriptors.features.shape == (max(64 // stride, 2), 96 // stride, 5)


def test_an_input_stride_is_a_picture_averaged_before(tmp_path):
    network = DescriptorNetwork(NetworkConfig("resnet18", 4, 5))
    coarse = DescriptorNetwork(NetworkConfig("resnet18", 8, 5, input_stride=2))
    coarse.load_state_dict(network.state_dict())
    DescriptorModel(coarse, device="cpu").save(tmp_path / "weights.safetensors")
    small = picture(64, 96)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    loaded = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu", "float32")
    found = loaded.describe(large)
    expected = DescriptorModel(network, device="cpu").describe(small)
    torch.testing.assert_close(found.features, expected.features)
    # Pixel centres: the middle of 2 x 2 pixels is the one they were averaged to.
    torch.testing.assert_close(found.sample([(40.5, 22.5)]), expected.sample([(20, 11)]))
    with pytest.raises(InvalidInputError, match=r"not one of \(8, 16, 32, 64\)"):
        NetworkConfig("resnet18", 4, 5, input_stride=2)


@pytest.mark.parametrize("learned_scale", [False, True])
@pytest.mark.parametrize("turns", [2, 4])
def test_descriptors_averaged_over_turns_do_not_depend_on_them(turns, learned_scale, tmp_path):
    config = NetworkConfig("resnet18", 8, 5, learned_scale=learned_scale, turns=turns)
    network = DescriptorNetwork(config)
    metric = "l2" if learned_scale else "cosine"
    DescriptorModel(network, metric, "cpu").save(tmp_path / "weights.safetensors")
    model = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu")
    image = picture(64, 96)
    upright = model.describe(image).features
    for turn in range(0, 4, 4 // turns):
        turned = model.describe(np.rot90(image, turn)).features
        torch.testing.assert_close(turned, torch.rot90(upright, turn), rtol=1e-4, atol=1e-5)

    single = DescriptorNetwork(replace(config, turns=1)).eval()
    single.load_state_dict(network.state_dict())
    once = DescriptorModel(single, metric, "cpu")
    assert once.fingerprint != model.fingerprint  # references of the one are not the other's
    assert not torch.allclose(
        once.describe(np.rot90(image, 2)).features, torch.rot90(once.describe(image).features, 2)
    )
    with pytest.raises(InvalidInputError, match=r"turns 4.0 is not 1, 2 or 4"):
        replace(config, turns=4.0)
    # So it is in training, where two turns at a time are normalised by their own statistics.
    images = torch.rand(2, 3, 64, 64)
    features = network.train()(images)
    for turn in range(0, 4, 4 // turns):
        turned = network(torch.rot90(images, turn, (2, 3)))
        expected = torch.rot90(features, turn, (2, 3))
        torch.testing.assert_close(turned, expected, rtol=1e-3, atol=1e-4)


def test_smoothed_features_are_joined_with_those_around_them(monkeypatch):
    config = NetworkConfig("resnet18", 8, 3, smoothed=True)
    network = DescriptorNetwork(config).eval()
    plain = DescriptorNetwork(replace(config, smoothed=False)).eval()
    plain.load_state_dict(network.state_dict())
    smoothed, model = (DescriptorModel(each, device="cpu") for each in (network, plain))
    assert smoothed.fingerprint != model.fingerprint
    with monkeypatch.context() as otherwise:
        otherwise.setattr("dense_desc_ros.descriptors.SMOOTHING", (1, 4, 1))
        assert DescriptorModel(network, device="cpu").fingerprint != smoothed.fingerprint
        assert DescriptorModel(plain, device="cpu").fingerprint == model.fingerprint
    image = picture(64, 96)
    expected = model.describe(image).features.numpy()
    for axis in (0, 1):
        expected = convolve1d(expected, [0.2, 0.6, 0.2], axis, mode="nearest")
    np.testing.assert_allclose(smoothed.describe(image).features, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InvalidInputError, match="smoothed 1 is not true or false"):
        replace(config, smoothed=1)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network.train()(images), plain.train()(images))


def test_weights_for_use_are_a_third_as_large_and_nearly_the_same(tmp_path):
    model = DescriptorModel(DescriptorNetwork(NetworkConfig("resnet18", 8, 5)), device="cpu")
    model.save(tmp_path / "trained.safetensors", {"steps": "100"})
    command = ["export", "--weights", str(tmp_path / "trained.safetensors"), "--turns", "2"]
    command += ["--smoothed"]
    small = tmp_path / "small.safetensors"
    told = CliRunner().invoke(app, [*command, "--out", str(small), "--json"])
    exported = DescriptorModel.load(small, "cpu", "float32")
    assert json.loads(told.stdout)["fingerprint"] == exported.fingerprint
    assert small.stat().st_size < 0.3 * (tmp_path / "trained.safetensors").stat().st_size
    assert exported.config.network == replace(model.config.network, turns=2, smoothed=True)
    assert exported.notes == {"steps": "100"}
    image = picture(64, 96)
    expected = model.used_with(turns=2, smoothed=True).describe(image).features
    assert 0 < (exported.describe(image).features - expected).abs().max() < 0.01
    for name, found in exported.network.named_parameters():
        trained = model.network.get_parameter(name)
        step = 2**-11 * trained.abs()  # of float16
        if trained.ndim == 4 and trained.numel() >= LARGE:
            step = trained.abs().amax(dim=(1, 2, 3), keepdim=True) / 254
        assert torch.all((found - trained).abs() <= 1.001 * step + 2**-25)
    assert exported.mixed_with(exported, 0.5).fingerprint == exported.fingerprint
    exported.save(small, compact=True)
    assert DescriptorModel.load(small, "cpu").fingerprint == exported.fingerprint

    stored = load_file(small)
    scales = next(name for name in stored if name.endswith(".scale"))
    for wrong, reason in (({}, scales), ({scales: torch.ones(9, 1, 1, 1, 1)}, "shape")):
        without = {name: values for name, values in stored.items() if name != scales}
        save_file(without | wrong, small, {"dense_desc_ros": exported.config.to_json()})
        with pytest.raises(WeightsError, match=f"does not fit its own description.*{reason}"):
            DescriptorModel.load(small)

    refused = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "weights.pt")])
    assert "must end in .onnx or .safetensors" in str(refused.exception)


def test_weights_are_mixed_with_those_they_came_from(tmp_path):
    files = [str(tmp_path / f"{name}.safetensors") for name in ("start", "end", "between")]
    config = NetworkConfig("resnet18", 8, 5, turns=4, smoothed=True)
    start = DescriptorModel(DescriptorNetwork(config), device="cpu")
    end = DescriptorModel(DescriptorNetwork(replace(config, turns=1, smoothed=False)), device="cpu")
    for model, file in zip((start, end), files, strict=False):
        model.save(file)
    command = ["export", "--weights", files[1], "--mixed-with", files[0], "--share", "0.25"]
    assert CliRunner().invoke(app, [*command, "--out", files[2]]).exit_code == 0
    between = DescriptorModel.load(files[2], "cpu")
    assert between.config == end.config
    first = f"0.25 of {DescriptorModel.load(files[0], 'cpu').fingerprint}"
    assert between.notes["mixed"] == first
    again = between.mixed_with(end, 0.5)
    assert again.notes["mixed"] == f"{first}, 0.5 of {end.fingerprint}"
    for name, found in between.network.named_parameters():
        a, b = (model.network.get_parameter(name) for model in (start, end))
        torch.testing.assert_close(found, 0.25 * a + 0.75 * b, rtol=0.01, atol=1e-3)
    assert end.mixed_with(start, 0.0).fingerprint == end.fingerprint
    with pytest.raises(InvalidInputError, match="networks of one kind"):
        end.mixed_with(DescriptorModel(DescriptorNetwork(NetworkConfig()), device="cpu"), 0.5)
    with pytest.raises(InvalidInputError, match=r"share 1.5 is not in \[0, 1\]"):
        end.mixed_with(start, 1.5)


def test_a_deeper_network_is_mixed_with_what_it_grew_from():
    """The blocks that it has more of are left out of the other's share."""
    shallow = DescriptorModel(DescriptorNetwork(NetworkConfig("resnet18", 8, 5)), device="cpu")
    deep = DescriptorModel(DescriptorNetwork(NetworkConfig("resnet34", 8, 5)), device="cpu")
    image = picture(64, 96)
    expected = shallow.describe(image).features
    torch.testing.assert_close(deep.mixed_with(shallow, 1.0).describe(image).features, expected)
    between = dict(deep.mixed_with(shallow, 0.25).network.named_parameters())
    for name, own in deep.network.named_parameters():
        if name.startswith("stages.0.2."):
            share = 0.75 if ".bn2." in name else 1.0
            torch.testing.assert_close(between[name], share * own)
        elif "stages.0" in name:
            other = shallow.network.get_parameter(name)
            torch.testing.assert_close(between[name], 0.75 * own + 0.25 * other)
    for other in ("resnet34", "resnet50"):
        with pytest.raises(InvalidInputError, match="networks of one kind"):
            shallow.mixed_with(
                DescriptorModel(DescriptorNetwork(NetworkConfig(other, 8, 5)), device="cpu"), 0.5
            )


def test_of_a_deeper_network_a_shallower_one_is_made_by_leaving_out_blocks(tmp_path):
    torch.manual_seed(0)
    network = DescriptorNetwork(NetworkConfig("resnet34", 8, 5))
    deep, image = DescriptorModel(network, device="cpu"), picture(64, 96)
    short = deep.used_with(backbone="resnet24")
    assert not torch.allclose(short.describe(image).features, deep.describe(image).features)
    names = set(network.state_dict()) - set(short.network.state_dict())
    left_out = {".".join(name.split(".")[:3]) for name in names}
    assert left_out == {"stages.1.3", *(f"stages.2.{block}" for block in (2, 3, 4, 5))}
    for block in left_out:  # what one adds ends in this
        network.get_submodule(f"{block}.bn2").weight.data.zero_()
    expected = short.describe(image).features
    torch.testing.assert_close(deep.describe(image).features, expected)
    short.save(tmp_path / "short.safetensors")
    loaded = DescriptorModel.load(tmp_path / "short.safetensors", "cpu", "float32")
    torch.testing.assert_close(loaded.describe(image).features, expected)
    for other in ("resnet34", "resnet50"):
        with pytest.raises(InvalidInputError, match=f"{other} cannot be made of a resnet24"):
            short.used_with(backbone=other)


def test_an_odd_size_matches_the_same_place_as_its_padded_picture(tiny_model):
    whole = picture(96, 128)
    whole[:, 97:], whole[70:] = whole[:, 96:97], whole[69:70]  # as padding repeats the border
    odd = tiny_model.describe(whole[:70, :97])
    references = odd.sample([(11.5, 33.25), (90, 60)])
    torch.testing.assert_close(
        tiny_model.describe(whole).sample([(11.5, 33.25), (90, 60)]), references
    )
    assert odd.similarity(references).shape == (2, 70, 97)


def test_saved_and_loaded_it_is_the_same_model(tiny_model, tmp_path):
    tiny_model.save(tmp_path / "weights.safetensors")
    loaded = DescriptorModel.load(tmp_path / "weights.safetensors", precision="float32")
    assert loaded.config == tiny_model.config
    assert loaded.fingerprint == tiny_model.fingerprint
    torch.testing.assert_close(
        loaded.describe(picture(64, 64)).features, tiny_model.describe(picture(64, 64)).features
    )


def test_the_fingerprint_tells_weights_and_metrics_apart(tiny_model):
    torch.manual_seed(1)
    other = DescriptorModel(DescriptorNetwork(tiny_model.network.config))
    l2 = DescriptorModel(tiny_model.network, metric="l2")
    assert len({tiny_model.fingerprint, other.fingerprint, l2.fingerprint}) == 3


def test_unusable_weights_are_refused_with_the_reason(tiny_model, tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(WeightsError, match="cannot read"):
        DescriptorModel.load(path)
    tiny_model.save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="cannot read"):
        DescriptorModel.load(path)
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="holds no model"):
        DescriptorModel.load(path)
    save_file({"a": torch.zeros(3)}, path, {"dense_desc_ros": tiny_model.config.to_json()})
    with pytest.raises(WeightsError, match="does not fit"):
        DescriptorModel.load(path)
    description = tiny_model.config.to_json().replace("resnet18", "__import__")
    save_file({"a": torch.zeros(3)}, path, {"dense_desc_ros": description})
    with pytest.raises(WeightsError, match="unknown backbone"):
        DescriptorModel.load(path)


@pytest.mark.parametrize(
    "image",
    [
        picture(8, 8).astype(np.float32),
        picture(8, 8)[..., 0],
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        "picture.png",
    ],
)
def test_what_is_no_image_is_refused(tiny_model, image):
    with pytest.raises(InvalidInputError):
        tiny_model.describe(image)


def test_an_unknown_device_is_refused(tiny_model):
    with pytest.raises(InvalidInputError, match="unknown device"):
        DescriptorModel(tiny_model.network, device="abacus")


def test_half_precision_gives_float32_that_is_close(tiny_model):
    half = DescriptorModel(tiny_model.network, device="cpu", precision="bfloat16")
    expected, found = (m.describe(picture(64, 64)).features for m in (tiny_model, half))
    assert found.dtype == torch.float32
    difference = (found - expected).abs().max() / expected.abs().max()
    assert 1e-6 < difference < 0.05
    pixels = half.preprocess(picture(64, 64))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        rounded_for_every_picture = tiny_model.network(pixels).float()
        rounded_once = folded(tiny_model.network, torch.bfloat16)(pixels).float()
    assert torch.equal(half.forward(pixels), rounded_once)
    difference = (rounded_once - rounded_for_every_picture).abs().max() / expected.abs().max()
    assert difference < 0.05
    assert half.fingerprint == tiny_model.fingerprint
    with pytest.raises(InvalidInputError, match="unknown precision 'int4': use auto, float32"):
        DescriptorModel(tiny_model.network, precision="int4")


@pytest.mark.parametrize(
    ("able", "precision"),
    [
        ({"avx512_bf16": True, "avx2": True}, "bfloat16"),
        ({"architecture": "aarch64", "bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "avx2": True}, "float32"),
    ],
)
def test_bfloat16_is_chosen_where_the_processor_computes_in_it(
    able, precision, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    tiny_model.save(tmp_path / "weights.safetensors")
    loaded = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu")
    assert loaded.precision == loaded.used_with(turns=2).precision == precision
    assert loaded.fingerprint == tiny_model.fingerprint  # so that references stay valid
    asked = DescriptorModel(tiny_model.network, device="cpu", precision=precision)
    image = picture(64, 64)
    torch.testing.assert_close(loaded.describe(image).features, asked.describe(image).features)
