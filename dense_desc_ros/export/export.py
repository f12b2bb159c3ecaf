"""Models written for use, and how far what was written is from the original."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import DenseDescError, InvalidInputError
from dense_desc_ros.export.onnx_writer import export_onnx

# Of features, over the greatest of them.
TOLERANCES = {".onnx": 1e-3, ".safetensors": 0.05}


def export_model(model: DescriptorModel, path: Path) -> None:
    """Write a model atomically, as what the name of the file ends in.

    Either .onnx, see `export_onnx`; or .safetensors, a third as large, see `compact_weights`.

    Raises:
        InvalidInputError: another ending, an exported model, or a library is missing.
        WeightsError: an exported model, which does not have its weights any more.
        OSError: the file cannot be written.
    """
    if path.suffix not in TOLERANCES:
        raise InvalidInputError(f"{path} must end in {' or '.join(TOLERANCES)}")
    if path.suffix == ".onnx":
        export_onnx(model, path)
    else:
        model.save(path, compact=True)


def largest_difference(
    model: DescriptorModel,
    exported: DescriptorModel,
    images: list[npt.NDArray[np.uint8]],
    tolerance: float,
) -> float:
    """Of any number in the features of images (H, W, 3), over the greatest of them.

    Raises:
        DenseDescError: more than the tolerance.
    """
    worst = 0.0
    for image in images:
        expected, found = (m.describe(image).features.cpu() for m in (model, exported))
        worst = max(worst, float((found - expected).abs().max() / expected.abs().max()))
    if not worst < tolerance:
        raise DenseDescError(
            f"the exported network differs by {worst:.2g} of its greatest feature, and not by less "
            f"than {tolerance}: do not use it"
        )
    return worst


def made_picture() -> npt.NDArray[np.uint8]:
    """A picture (480, 640, 3) of coloured blobs."""
    blobs = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(blobs, (640, 480), interpolation=cv2.INTER_CUBIC))
