"""Pictures of sensor_msgs/CompressedImage, colour and depth, without ROS.

The format strings and the quantisation of depth are those of image_transport_plugins
(compressed_image_transport and compressed_depth_image_transport). Pillow reads the size of a
picture before it decodes anything, and refuses one that is cut short.
"""

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dense_desc_ros.data.millimetres import from_millimetres
from dense_desc_ros.errors import InvalidInputError

MAX_PIXELS = 4096 * 4096

# ConfigHeader of compressed_depth_image_transport: an unused number, then A and B. Data made on a
# big-endian machine would differ; nothing in the message tells.
_DEPTH_HEADER = struct.Struct("<iff")
_WITH_HEADER = (("compressedDepth",), ("compressedDepth", "png"))


def check_size(width: int, height: int, what: str) -> None:
    """Raise InvalidInputError for a picture that is empty or has more than MAX_PIXELS."""
    if width <= 0 or height <= 0:
        raise InvalidInputError(f"{what} is empty: {width}x{height}")
    if width * height > MAX_PIXELS:
        raise InvalidInputError(
            f"{what} is said to be {width}x{height}: more than {MAX_PIXELS} pixels, so it is "
            "corrupt, or needs a lower resolution"
        )


def decode_image(message: Any) -> npt.NDArray[np.uint8]:
    """The picture of a CompressedImage, JPEG or PNG, as (H, W, 3) uint8, RGB.

    Formats are "jpeg", "png", or like "rgb8; jpeg compressed bgr8". The last word is how the
    channels were handed to an encoder that takes BGR, so with "rgb8" there red and blue changed
    places in the file, and are put back.

    Raises:
        InvalidInputError: depth or a Bayer mosaic instead of a picture, data that are neither JPEG
            nor PNG or are damaged, or more than MAX_PIXELS.
    """
    original, _, compression = message.format.partition(";")
    if "compressedDepth" in compression:
        raise InvalidInputError(
            f"colour image has format {message.format!r}, which is depth: check the topics"
        )
    target = compression.partition("compressed")[2].strip()
    if original.startswith("bayer") and not target:
        raise InvalidInputError(
            f"colour image has format {message.format!r}, a Bayer mosaic: publish it debayered "
            "(image_proc)"
        )
    with _opened(memoryview(message.data), "colour image") as picture:
        if picture.mode.startswith("I"):
            raise InvalidInputError("colour image is 16-bit grey, as depth is: check the topics")
        pixels = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    return np.array(pixels[..., ::-1] if target.startswith("rgb") else pixels, order="C")


def decode_depth(message: Any) -> npt.NDArray[np.float32]:
    """The depth of a CompressedImage as (H, W) float32, metres; invalid is NaN.

    Formats are "16UC1; compressedDepth png", "32FC1; compressedDepth png" (older ones end before
    "png") and, without the header of twelve bytes, "16UC1; png compressed". What was 32FC1 is
    quantised by its inverse: depth = A / (value - B), with A and B of the header, and 0 for none.

    Raises:
        InvalidInputError: another format, data that are no 16-bit PNG or are damaged, constants
            that give no depth, or more than MAX_PIXELS.
    """
    original, _, compression = message.format.partition(";")
    codec = tuple((compression or original).split()[:2])
    with_header = codec in _WITH_HEADER and original in ("16UC1", "mono16", "32FC1")
    if not with_header and not (codec[:1] == ("png",) and original in ("16UC1", "mono16", "png")):
        raise InvalidInputError(
            f"depth image has format {message.format!r}: expected '16UC1; compressedDepth png', "
            "'32FC1; compressedDepth png' or '16UC1; png compressed'"
        )
    data = memoryview(message.data)
    if not with_header:
        return from_millimetres(_depth_values(data))
    if len(data) <= _DEPTH_HEADER.size:
        raise InvalidInputError(f"depth image holds {len(data)} bytes: it is cut short")
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    values = _depth_values(data[_DEPTH_HEADER.size :])
    return _from_inverse(values, a, b) if original == "32FC1" else from_millimetres(values)


def _depth_values(data: memoryview) -> npt.NDArray[np.uint16]:
    with _opened(data, "depth image") as picture:
        values = np.asarray(picture)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise InvalidInputError(
            "depth image is not one channel of 16 bits: publish compressedDepth, or compressed "
            "with format png"
        )
    return values


def _from_inverse(values: npt.NDArray[np.uint16], a: float, b: float) -> npt.NDArray[np.float32]:
    """A / (value - B) in metres; NaN where the value is 0 or that is not positive."""
    if not (np.isfinite([a, b]).all() and a > 0):
        raise InvalidInputError(f"depth image is quantised with A={a:g}, B={b:g}: it is corrupt")
    inverse = values.astype(np.float32) - np.float32(b)
    inverse[(values == 0) | (inverse <= 0)] = np.nan
    return np.divide(np.float32(a), inverse, dtype=np.float32)


def _opened(data: memoryview, what: str) -> Image.Image:
    """A picture of the right size, decoded."""
    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        check_size(*picture.size, what)
        picture.load()
        return picture
    except InvalidInputError:
        raise
    except Exception as error:  # damaged bytes make the decoders fail in every possible way
        raise InvalidInputError(
            f"{what} of {len(data)} bytes is no JPEG or PNG, or is damaged: {error}"
        ) from error
