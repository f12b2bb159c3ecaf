"""The model: its files, its fingerprint, images of any size."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import InvalidInputError, WeightsError
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
    found = DescriptorModel.load(tmp_path / "weights.safetensors", "cpu").describe(large)
    expected = DescriptorModel(network, device="cpu").describe(small)
    torch.testing.assert_close(found.features, expected.features)
    # Pixel centres: the middle of 2 x 2 pixels is the one they were averaged to.
    torch.testing.assert_close(found.sample([(40.5, 22.5)]), expected.sample([(20, 11)]))
    with pytest.raises(InvalidInputError, match=r"not one of \(8, 16, 32, 64\)"):
        NetworkConfig("resnet18", 4, 5, input_stride=2)


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
    loaded = DescriptorModel.load(tmp_path / "weights.safetensors")
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
