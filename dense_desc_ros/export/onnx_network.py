"""Networks exported to ONNX, run by ONNX Runtime on the processor.

The file has the whole network, its heads included, and as metadata what the weights file says of it
and the fingerprint of that. Of the libraries `onnx` reads the file and `onnxruntime` runs it.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dense_desc_ros.errors import InvalidInputError, WeightsError
from dense_desc_ros.network import FeatureNetwork, NetworkConfig

FINGERPRINT = "fingerprint"  # key of the metadata
IMAGES, OUTPUTS = "images", ("features", "keypoint_logits", "keypoint_depths")


class OnnxNetwork(FeatureNetwork):
    """An exported network. It takes as many threads as torch has when it is made.

    Args:
        config: what it is.
        content: the bytes of the file.
        heads: the weights of the keypoint heads.
    """

    def __init__(self, config: NetworkConfig, content: bytes, heads: dict[str, Tensor]) -> None:
        super().__init__(config)
        self._make_heads()
        self.load_state_dict(heads)
        runtime = import_library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors, which are raised as well
        # Threads that wait for the next frame in a loop would take the time of what comes between.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors (1, D, H/s, W/s) of an RGB image (1, 3, H, W) in [0, 1]."""
        inputs = {IMAGES: np.ascontiguousarray(images.numpy())}
        (features,) = self._session.run(OUTPUTS[:1], inputs)
        return torch.from_numpy(features)


def read_onnx(path: Path) -> tuple[dict[str, str], Callable[[NetworkConfig], OnnxNetwork]]:
    """The metadata of an exported network, and what makes it of its configuration.

    Raises:
        WeightsError: the file cannot be read, or keeps its weights elsewhere.
        InvalidInputError: a library for it is missing.
    """
    onnx = import_library("onnx")
    import_library("onnxruntime")
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except Exception as error:  # whatever the reader of protocol buffers makes of what is none
        raise WeightsError(f"cannot read weights {path}: {error}") from error
    # Names of further files, from a file that anybody may have made, are not followed.
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise WeightsError(f"{path} keeps weights in other files: export the model again")

    def make_network(config: NetworkConfig) -> OnnxNetwork:
        try:
            return OnnxNetwork(config, content, _heads(onnx, model) if config.keypoints else {})
        except Exception as error:  # of ONNX Runtime, which have no common base
            raise WeightsError(str(error)) from error

    return {item.key: item.value for item in model.metadata_props}, make_network


def import_library(name: str) -> ModuleType:
    """One of the libraries that only exported networks need.

    Raises:
        InvalidInputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidInputError(
            f"exported networks need {name}, which is not installed: pip install {name}"
        ) from error


def _heads(onnx: Any, model: Any) -> dict[str, Tensor]:
    """Weights of the keypoint heads, which also work on what is not the features of a picture."""
    named = {tensor.name.removeprefix("network."): tensor for tensor in model.graph.initializer}
    return {
        name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for name, tensor in named.items()
        if name.startswith(("spatial_head.", "depth_head."))
    }
