"""Writes a model as ONNX."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from dense_desc_ros.descriptors import DESCRIPTION, DescriptorModel
from dense_desc_ros.errors import InvalidInputError
from dense_desc_ros.export.onnx_network import FINGERPRINT, IMAGES, OUTPUTS, import_library
from dense_desc_ros.files import write_atomically
from dense_desc_ros.network import DescriptorNetwork

EXAMPLE = 2, 3  # height and width that are traced, times the coarsest stride: neither 1, nor equal


def export_onnx(model: DescriptorModel, path: Path) -> None:
    """Write a model to one .onnx file, for images of any size, atomically.

    Its input `images` is (1, 3, H, W) float32, RGB in [0, 1], H and W multiples of the coarsest
    stride; outputs are `features` and, of a network with keypoints, `keypoint_logits` and
    `keypoint_depths`. Batch normalisations are folded into the convolutions.

    Raises:
        InvalidInputError: an exported model, or a library is missing.
        OSError: the file cannot be written.
    """
    if not isinstance(model.network, DescriptorNetwork):
        raise InvalidInputError("the model was exported already: give the safetensors file")
    for library in ("onnx", "onnxscript"):
        import_library(library)
    write_atomically(path, _convert(model))


class _AllOutputs(torch.nn.Module):
    """A network that gives its keypoints' maps beside the features."""

    def __init__(self, network: DescriptorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.network(images)
        if not self.network.config.keypoints:
            return (features,)
        return features, *self.network.keypoint_maps(features)


def _convert(model: DescriptorModel) -> bytes:
    network = model.network
    assert isinstance(network, DescriptorNetwork)
    stride = network.config.coarsest_stride
    example = torch.zeros(1, 3, *(n * stride for n in EXAMPLE), device=model.device)
    sides = [torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns")]
    dynamic = {axis: stride * side for axis, side in zip((2, 3), sides, strict=True)}
    outputs = OUTPUTS if network.config.keypoints else OUTPUTS[:1]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            _AllOutputs(network).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[IMAGES],
            output_names=list(outputs),
            dynamic_shapes=(dynamic,),
        )
    assert program is not None  # as there is no file yet
    proto = program.model_proto
    metadata = {
        **model.notes,
        DESCRIPTION: model.config.to_json(),
        FINGERPRINT: model.fingerprint,
    }
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()
